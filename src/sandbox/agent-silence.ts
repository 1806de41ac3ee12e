/** Noticing that the agent of a machine is gone of which nobody else tells. */
import { hasCode } from "../kata-error.ts";
import { type Clock, sleep } from "../sys/clock.ts";
import type { AgentConnection } from "./agent-client.ts";

/** Between two questions, ms: what a pod that has ended may cost unnoticed, against what asking costs all others. */
const ASK_INTERVAL_MS = 10_000;
/** For an answer, ms: more than a guest under load or a network that is being rerouted needs. */
const ANSWER_MS = 30_000;

/** The same connection, which also counts as ended when the agent does not answer for {@link ANSWER_MS}. */
export function endingWithSilence(agent: AgentConnection, clock: Clock): AgentConnection {
  let isOver = false;
  const ended = agent.closed.then(() => {
    isOver = true;
  });
  const silence = async (): Promise<void> => {
    while (!isOver) {
      await Promise.race([ended, sleep(clock, ASK_INTERVAL_MS)]);
      if (isOver || !(await answers(agent))) return;
    }
  };
  return { ...agent, closed: Promise.race([ended, silence()]) };
}

async function answers(agent: AgentConnection): Promise<boolean> {
  try {
    await agent.check({ timeoutMs: ANSWER_MS });
    return true;
  } catch (error) {
    // An agent that refuses the question has heard it.
    return !hasCode(error, "deadline-exceeded", "unavailable", "closed");
  }
}
