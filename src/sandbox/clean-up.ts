/**
 * Giving back what a sandbox has left whose shim was killed: what `shim delete` does.
 *
 * The helper programs end with their shim by themselves (`PR_SET_PDEATHSIG`), and mounts, taps and sockets end with them. Left are
 * directories, cgroups and changes of the pod's network, a program for the moment that it takes to end, and a machine that runs on another
 * host. Everything is tried, whatever fails,
 * and all of it may be gone already.
 */
import { describeError, hasErrno, KataError } from "../kata-error.ts";
import { withDeadline } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { exists, readTextFileIfExists } from "../sys/files.ts";
import { pidfdOpen, pidfdSendSignal, SIGKILL } from "../sys/process.ts";
import { Rollback } from "../sys/rollback.ts";
import { type CrashRecord, type RecordedProcess, readCrashRecord } from "./crash-record.ts";
import { stopRemote } from "./hypervisor/remote/remote-service.ts";
import { NetworkNamespace } from "./network/network-namespace.ts";
import { undoNetworkStep } from "./network/network-steps.ts";
import { baseName } from "./path.ts";
import { processStartTime } from "./process-identity.ts";
import { removeHostCgroup } from "./resources/host-cgroup.ts";
import { removeRunDirectories, removeWithParents } from "./run-directories.ts";
import { managementDirectory, sandboxPaths } from "./sandbox-paths.ts";
import { unclaimDirectVolumes } from "./storage/direct-volume.ts";

/** A killed process whose memory is large takes this long at most, ms. */
const KILL_DEADLINE_MS = 5000;

/**
 * Gives back everything that sandbox `id` has left on the host. No error if there is nothing.
 *
 * Only for a sandbox whose shim has ended: a running one loses its virtual machine.
 *
 * @throws KataError `cleanup-failed` that names everything that could not be given back.
 */
export async function cleanUpSandbox(id: string): Promise<void> {
  const paths = sandboxPaths(id);
  const record = readCrashRecord(paths);
  const failures: string[] = [];
  const attempt = async (what: string, action: () => void | Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      failures.push(`${what}: ${describeError(error)}`);
    }
  };
  if (record !== undefined) {
    const cgroups = record.cgroups.filter((directory) => isCgroupOf(id, directory));
    for (const each of record.processes) await attempt(each.name, () => endProcess(each));
    for (const each of cgroups) await attempt(`processes in ${each}`, () => endMembers(each));
    const { remote } = record;
    if (remote !== undefined) await attempt("remote machine", () => stopRemote(remote, id));
    await attempt("network", () => undoNetwork(record));
    const { monitorDirectory } = record;
    if (monitorDirectory !== undefined)
      await attempt("user of the monitor", () => removeWithParents(monitorDirectory));
    await attempt("cgroups", () => removeHostCgroup(cgroups, loop));
  }
  await attempt("run directories", () => removeRunDirectories(paths));
  await attempt("management socket", () => removeWithParents(managementDirectory(id)));
  await attempt("notes of volumes", () => unclaimDirectVolumes(id));
  if (failures.length > 0) {
    throw new KataError("cleanup-failed", {
      operation: "clean up sandbox",
      object: `${id}: ${failures.join("; ")}`,
    });
  }
}

/** The names that `hostCgroupPath` gives; a record that was tampered with must not end somebody else's processes. */
function isCgroupOf(id: string, directory: string): boolean {
  const name = baseName(directory);
  return name === id || name.startsWith("kata_") || directory.endsWith(`/kata_overhead/${id}/vcpus`);
}

/** Kills the process that was recorded, and not another that has its number now. */
async function endProcess({ name, pid, startTime }: RecordedProcess): Promise<void> {
  await killProcess(name, pid, () => processStartTime(pid) === startTime);
}

/** Kills what is left in a cgroup of a sandbox, which no process of anybody else is in. */
async function endMembers(directory: string): Promise<void> {
  const procs = `${directory}/cgroup.procs`;
  const pids = (readTextFileIfExists(procs) ?? "").split("\n").filter((line) => line !== "");
  for (const pid of pids) {
    await killProcess(`process ${pid}`, Number(pid), () =>
      (readTextFileIfExists(procs) ?? "").split("\n").includes(pid),
    );
  }
}

/** @param isIt asked once the process is held by a descriptor: its number cannot go to another any more. */
async function killProcess(name: string, pid: number, isIt: () => boolean): Promise<void> {
  let opened: ReturnType<typeof pidfdOpen>;
  try {
    opened = pidfdOpen(pid);
  } catch (error) {
    if (hasErrno(error, "ESRCH")) return;
    throw error;
  }
  using pidfd = opened;
  if (!isIt() || !pidfdSendSignal(pidfd, SIGKILL)) return;
  try {
    const what = { operation: "kill", object: `${name} (pid ${pid})` };
    await withDeadline(loop, KILL_DEADLINE_MS, what, loop.readable(pidfd.fd));
  } finally {
    loop.forget(pidfd.fd);
  }
}

/** The last change first. A namespace that is gone has taken everything in it with it. */
async function undoNetwork({ networkNamespace, networkSteps }: CrashRecord): Promise<void> {
  const undo = new Rollback();
  const namespace =
    networkNamespace !== undefined && networkSteps.length > 0 && exists(networkNamespace)
      ? NetworkNamespace.open(networkNamespace)
      : undefined;
  undo.add("network namespace", () => namespace?.close());
  for (const step of networkSteps) {
    undo.add(`${step.kind} of the network`, () => undoNetworkStep(namespace?.netlink, step));
  }
  await undo.run();
}
