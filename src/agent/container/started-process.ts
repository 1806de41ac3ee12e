/** From a child that stands ready to a process whose program runs. */
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { SIGKILL } from "../../sys/process.ts";
import { ContainerProcess } from "./container-process.ts";
import type { LaunchedChild } from "./launch.ts";

/** The program's start is one system call; a hanging file system must not hang the agent. */
const START_DEADLINE_MS = 30_000;

/** @throws KataError what the start of the program failed with; the child has ended then. */
export async function startedProcess(child: LaunchedChild, execId: string): Promise<ContainerProcess> {
  const process = new ContainerProcess(execId, child, child.stdio);
  // The program's execve closes the channel; nothing else is said after "ready" unless it fails.
  try {
    const what = { operation: "run process", object: `exec ${execId}`, hint: "its program does not start" };
    const message = await withDeadline(loop, START_DEADLINE_MS, what, child.channel.next());
    if (message.kind === "failed") throw message.error;
  } catch (error) {
    process.signal(SIGKILL);
    await process.exited;
    process.close();
    throw error;
  } finally {
    child.channel.close();
  }
  return process;
}
