/** The first word of the agent in a machine that boots. */
import { hasCode, KataError } from "../../kata-error.ts";
import { type CancelSignal, CancelSource, orCancelled } from "../../sys/cancellation.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import type { AgentConnection } from "../agent-client.ts";
import { connectAgent } from "../agent-connection.ts";
import type { VirtualMachine } from "../hypervisor/types.ts";
import type { StartWatch } from "./start-parts.ts";

/** From the end of a machine's connections to the end of its process, ms. */
const MACHINE_END_MS = 1000;

/** The agent's first answer, or the reason why none will come. */
export async function reachAgent(
  machine: VirtualMachine,
  { failed, ended }: StartWatch,
  dialTimeoutMs: number,
  signal?: CancelSignal,
): Promise<AgentConnection> {
  const giveUp = new CancelSource(signal);
  try {
    const connecting = connectAgent(machine.agentChannel, dialTimeoutMs, giveUp.signal);
    return await orCancelled(Promise.race([connecting, ended]), signal);
  } catch (error) {
    giveUp.cancel();
    if (error instanceof KataError && error.code === "deadline-exceeded") {
      const words = machine.lastOutput();
      const silence = `the agent did not answer within ${dialTimeoutMs / 1000} s`;
      throw failed(words === "" ? silence : `${silence}: ${words}`);
    }
    // A machine that ends closes the channel first; how it ended says more than that it did.
    if (hasCode(error, "unavailable")) {
      await Promise.race([ended, sleep(loop, 2 * MACHINE_END_MS)]);
    }
    throw error;
  }
}
