/** How much memory the programs hold when they have nothing to do. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startCommand } from "../../tests/harness/command.ts";
import { eventually } from "../../tests/harness/eventually.ts";
import { busyboxImage, importImage } from "../../tests/harness/images.ts";
import { processesOf } from "../../tests/harness/instance-processes.ts";
import { startKataContainerd } from "../../tests/harness/kata-containerd.ts";
import { listProcesses, residentBytes } from "../../tests/harness/processes.ts";
import { KATA_RUNTIME } from "../../tests/harness/subject.ts";

const START_DEADLINE_MS = 10_000;
/** After the last request, so that what it allocated for that is freed, ms. */
const SETTLE_MS = 500;

/** An agent that serves as an ordinary process and has answered a connection, bytes. */
export async function agentMemory(binary: string): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "kata-size-"));
  const socket = join(directory, "agent.sock");
  await using agent = startCommand(binary, ["--server-addr", `unix://${socket}`]);
  try {
    await eventually(
      "the agent answers",
      START_DEADLINE_MS,
      async () => (await canConnect(socket)) || undefined,
      () => agent.stderr,
    );
    await pause(SETTLE_MS);
    return resident(agent.pid, binary);
  } finally {
    agent.signal("SIGTERM");
    await agent.exited(START_DEADLINE_MS);
    rmSync(directory, { recursive: true, force: true });
  }
}

export interface ShimMemory {
  /** Of the shim, bytes. */
  readonly shim: number;
  /** Of all that the pod costs the host: the shim, the virtual machine and its helpers, bytes by program. */
  readonly pod: ReadonlyMap<string, number>;
}

/** The shim of a pod with one container that sleeps, in a containerd of its own. */
export async function shimMemory(): Promise<ShimMemory> {
  await using containerd = await startKataContainerd();
  const { ctr, address } = containerd;
  const image = await busyboxImage();
  await importImage(ctr, image);
  const id = `${address.tag}-size`;
  await ctr.runDetached({ id, image: image.name, runtime: KATA_RUNTIME, command: ["sleep", "3600"] });
  try {
    await pause(SETTLE_MS);
    const shim = listProcesses().find(({ argv }) => isShim(argv) && argv.includes(id));
    if (shim === undefined) throw new Error(`no shim has ${id} in its command line`);
    const pod = new Map<string, number>();
    for (const { pid, argv } of processesOf(address.tag)) {
      if (pid === containerd.pid) continue;
      const program = argv[0]?.split("/").at(-1) ?? "";
      pod.set(program, (pod.get(program) ?? 0) + (residentBytes(pid) ?? 0));
    }
    return { shim: resident(shim.pid, "the shim"), pod };
  } finally {
    await ctr.remove(id);
  }
}

function isShim(argv: readonly string[]): boolean {
  return argv[0]?.endsWith("containerd-shim-kata-v2") === true;
}

function resident(pid: number, what: string): number {
  const bytes = residentBytes(pid);
  if (bytes === undefined) throw new Error(`${what} has ended`);
  return bytes;
}

function canConnect(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
