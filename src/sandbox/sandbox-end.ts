/** Which of a sandbox's parts ended first, and so is the reason for the end of the others. */
import { type Clock, sleep } from "../sys/clock.ts";
import type { VirtualMachine } from "./hypervisor/types.ts";

/** The file server notices the machine's end before we have its exit status and last words, ms. */
const MACHINE_END_MS = 500;
/** After the agent's connection has ended, the guest's own end, with its reason, is waited for this long, ms. */
const GUEST_END_MS = 3000;

export interface SandboxPrograms {
  readonly machine: Pick<VirtualMachine, "exited">;
  /** Settles with a sentence when the file server ends. */
  readonly fileServerEnded: Promise<string>;
  /** Settles when the connection to the agent ends; absent before there is one. */
  readonly agentClosed?: Promise<void>;
}

/** Settles with a sentence when one of them ends: the machine's if it has ended, since it takes the others along. */
export function firstEnd(
  { machine, fileServerEnded, agentClosed }: SandboxPrograms,
  clock: Clock,
): Promise<string> {
  const machineEnded = machine.exited.then(({ reason }) => reason);
  const unlessMachineEnds = (ms: number, reason: string): Promise<string> =>
    Promise.race([machineEnded, sleep(clock, ms).then(() => reason)]);
  const ends = [machineEnded, fileServerEnded.then((reason) => unlessMachineEnds(MACHINE_END_MS, reason))];
  if (agentClosed !== undefined) {
    ends.push(agentClosed.then(() => unlessMachineEnds(GUEST_END_MS, "the agent's connection ended")));
  }
  return Promise.race(ends);
}
