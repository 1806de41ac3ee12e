/** The services that the agent answers on a connection. */
import { describeError, KataError } from "../../kata-error.ts";
import { serveConnection } from "../../rpc/server.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { formatError } from "../../sys/program.ts";
import { guardCalls } from "../policy/guard-calls.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { AGENT_VERSION, PROTOCOL_VERSION } from "../version.ts";
import { containerCalls } from "./container-calls.ts";
import { agentService, type HealthHandlers, healthService, ServingStatus } from "./generated.ts";
import { guestCalls } from "./guest-calls.ts";
import { memoryAgentCalls } from "./memory-agent-calls.ts";
import { networkCalls } from "./network-calls.ts";
import { policyCalls } from "./policy-calls.ts";
import { processCalls } from "./process-calls.ts";
import { sandboxCalls } from "./sandbox-calls.ts";

const HEALTH: HealthHandlers = {
  async check() {
    return { status: ServingStatus.SERVING };
  },
  async version() {
    return { grpcVersion: PROTOCOL_VERSION, agentVersion: AGENT_VERSION };
  },
};

/**
 * Answers calls about `sandbox` until the connection ends. A call that the agent has no handler for is answered with
 * `UNIMPLEMENTED`.
 *
 * @param onDestroyed runs after DestroySandbox and before the host hears of its end.
 */
export function serveAgent(stream: ByteStream, sandbox: Sandbox, onDestroyed: () => void): Promise<void> {
  const { logger, policy } = sandbox.context;
  const calls = {
    ...containerCalls(sandbox),
    ...processCalls(sandbox),
    ...sandboxCalls(sandbox, onDestroyed),
    ...networkCalls(sandbox),
    ...guestCalls(sandbox),
    ...memoryAgentCalls(sandbox),
    ...policyCalls(policy),
  };
  const agent = agentService(guardCalls(calls, policy));
  return serveConnection(stream, [agent, healthService(HEALTH)], {
    // A virtio-serial port is; on a socket it changes nothing for a client that keeps to the protocol.
    lasting: true,
    onFailure: (_service, method, error) => {
      if (error instanceof KataError) logger.debug(`${method} failed`, { error: describeError(error) });
      else logger.error(`${method} failed by a mistake of ours`, { error: formatError(error) });
    },
  });
}
