/**
 * What a container runtime can leave behind on a host, as a list of lines that can be compared: processes, mounts, network
 * links and namespaces, cgroups, files below the run directories.
 *
 * On a machine where others run containers or virtual machines at the same time only what carries the instance's tag counts;
 * otherwise everything new does.
 */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, runCommand } from "./command.ts";
import { eventually } from "./eventually.ts";
import { processesOf } from "./instance-processes.ts";
import type { InstanceAddress } from "./private-containerd.ts";
import { listProcesses, namespaceOf, type ProcessEntry } from "./processes.ts";
import { DEEPEST_RUN_DIRECTORY, isSharedRoom, RUN_DIRECTORIES } from "./run-directories.ts";

/** Runtimes, their virtual machine monitors and file servers. */
const RUNTIME_PROGRAMS =
  /^(containerd-shim|qemu-system-|virtiofsd|cloud-hyperviso|firecracker|kata-|runc$|crun$)/;

const DEEPEST_CGROUP = 6;

/** A killed sandbox's processes and cgroups may take this long to go, ms. */
const CLEAN_DEADLINE_MS = 15_000;

/** One line for each thing that exists, such as `mount /run/x overlay`. */
export type HostSnapshot = ReadonlySet<string>;

export async function takeHostSnapshot(instance: InstanceAddress): Promise<HostSnapshot> {
  const lines = [
    ...processLines(instance),
    ...mountLines(),
    ...(await linkLines(instance)),
    ...cgroupLines(instance),
    ...RUN_DIRECTORIES.flatMap((directory) => fileLines(directory, DEEPEST_RUN_DIRECTORY)),
    ...bundleLines(instance),
  ];
  return new Set(lines);
}

export interface CleanOptions {
  /** Ids that were used since, by which files without the instance's tag in their name are recognised. */
  readonly containers: readonly string[];
  /** True if others change the host meanwhile; by default what `KATA_TEST_SHARED_HOST=1` says. */
  readonly sharedHost?: boolean;
  readonly deadlineMs?: number;
}

/**
 * Waits until nothing is left that `before` did not have.
 *
 * @throws Error that lists everything left behind.
 */
export async function expectHostClean(
  instance: InstanceAddress,
  before: HostSnapshot,
  options: CleanOptions,
): Promise<void> {
  const { containers, sharedHost = isSharedHost() } = options;
  const isOurs = sharedHost ? ownership(instance, containers) : () => true;
  let left: string[] = [];
  await eventually(
    "host is clean",
    options.deadlineMs ?? CLEAN_DEADLINE_MS,
    async () => {
      const now = await takeHostSnapshot(instance);
      left = [...now].filter((line) => !before.has(line) && isOurs(line));
      return left.length === 0 || undefined;
    },
    () => `left behind:\n${left.map((line) => `  ${line}`).join("\n")}`,
  );
}

function isSharedHost(): boolean {
  return process.env.KATA_TEST_SHARED_HOST === "1";
}

/** The socket on which the shim of `group` serves. Source: containerd, `shim.SocketAddress`. */
export function shimSocket(instance: InstanceAddress, group: string, namespace = instance.tag): string {
  const name = createHash("sha256")
    .update(join(instance.socket, namespace, group))
    .digest("hex");
  return `/run/containerd/s/${name}`;
}

function ownership(instance: InstanceAddress, containers: readonly string[]): (line: string) => boolean {
  const sockets = [instance.tag, "k8s.io"].flatMap((namespace) =>
    containers.map((id) => shimSocket(instance, id, namespace)),
  );
  const marks = [instance.tag, ...containers, ...sockets];
  return (line) => marks.some((mark) => line.includes(mark));
}

function processLines({ tag }: InstanceAddress): string[] {
  const all = listProcesses();
  const ours = new Set(processesOf(tag).map((entry) => entry.pid));
  return all
    .filter((entry) => RUNTIME_PROGRAMS.test(entry.name) || isContainerProcess(entry, all))
    .map((entry) => {
      const program = entry.argv.join(" ").slice(0, 300) || `<${entry.name}>`;
      return `process ${entry.pid}${ours.has(entry.pid) ? ` of ${tag}` : ""} ${entry.state === "Z" ? " zombie" : ""} ${program}`;
    });
}

/** True for what lives in a PID namespace other than ours: it was a container's, even when its shim is gone. */
function isContainerProcess(entry: ProcessEntry, all: readonly ProcessEntry[]): boolean {
  const own = namespaceOf(process.pid, "pid");
  const its = namespaceOf(entry.pid, "pid");
  const parent = all.find((candidate) => candidate.pid === entry.parent);
  // Browsers and other sandboxes live in such namespaces too; only orphans and children of shims are a runtime's.
  const orphan = parent === undefined || parent.pid === 1 || RUNTIME_PROGRAMS.test(parent.name);
  return its !== undefined && its !== own && orphan;
}

function mountLines(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const fields = line.split(" ");
      const type = fields[fields.indexOf("-") + 1] ?? "";
      return `mount ${fields[4]} ${type}`;
    });
}

/** Links of our network namespace and of every named one, with the queueing disciplines that redirect packets. */
async function linkLines({ tag }: InstanceAddress): Promise<string[]> {
  const lines: string[] = [];
  // On a shared host the namespaces of others may go while they are looked at.
  const named = listIfThere("/run/netns").filter((name) => !isSharedHost() || name.includes(tag));
  for (const namespace of [undefined, ...named]) {
    const prefix = namespace === undefined ? [] : ["-n", namespace];
    const where = namespace === undefined ? "" : ` in ${namespace}`;
    const links = await lookInto(namespace, "ip", [...prefix, "-json", "link", "show"]);
    for (const { ifname } of links) lines.push(`link ${ifname}${where}`);
    const disciplines = await lookInto(namespace, "tc", [...prefix, "-json", "qdisc", "show"]);
    for (const { dev, kind } of disciplines) lines.push(`qdisc ${kind} on ${dev}${where}`);
  }
  return lines;
}

/** Others may take a namespace of theirs away meanwhile, or have a file that is none; the file itself is listed elsewhere. */
async function lookInto(
  namespace: string | undefined,
  program: string,
  args: readonly string[],
): Promise<Record<string, unknown>[]> {
  if (namespace === undefined) return parseList(await mustRun(program, args));
  const { status, stdout } = await runCommand(program, args);
  return status === 0 ? parseList(stdout) : [];
}

function parseList(json: string): Record<string, unknown>[] {
  return json.trim() === "" ? [] : (JSON.parse(json) as Record<string, unknown>[]);
}

/**
 * Every group of every hierarchy, of version 1, 2 or both. The group named after containerd's namespace is not a container's:
 * runtimes leave it for the next one.
 */
function cgroupLines({ tag }: InstanceAddress): string[] {
  const lines: string[] = [];
  const walk = (directory: string, depth: number) => {
    for (const name of listIfThere(directory)) {
      const path = join(directory, name);
      if (!isDirectory(path)) continue;
      if (name !== tag && !isSharedRoom(path)) lines.push(`cgroup ${path}`);
      if (depth < DEEPEST_CGROUP) walk(path, depth + 1);
    }
  };
  walk("/sys/fs/cgroup", 0);
  return lines;
}

/** Files and directories below `directory`; shared file systems in it are seen as mounts, not walked. */
function fileLines(directory: string, depth: number): string[] {
  if (depth === 0) return [];
  return listIfThere(directory).flatMap((name) => {
    const path = join(directory, name);
    if (!isDirectory(path)) return [`file ${path}`];
    return [...(isSharedRoom(path) ? [] : [`directory ${path}/`]), ...fileLines(path, depth - 1)];
  });
}

/** Bundles, FIFOs and runc's state directories of the instance's containers. */
function bundleLines({ directory, tag }: InstanceAddress): string[] {
  const rooms = ["io.containerd.runtime.v2.task", "io.containerd.sandbox.controller.v1.shim"];
  const bundles = rooms.flatMap((room) =>
    ["state", "root"].flatMap((tree) => [`${tree}/${room}/${tag}`, `${tree}/${room}/k8s.io`]),
  );
  const places = [...bundles, "fifo", `runc/${tag}`];
  return places.flatMap((place) => fileLines(join(directory, place), 1));
}

function listIfThere(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return [];
    throw error;
  }
}

function isDirectory(path: string): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch (error) {
    if (["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}
