/** The calls about one process of a container: running, signalling, waiting, its streams. */
import { KataError } from "../../kata-error.ts";
import { GUEST_ITSELF } from "../../oci/guest-itself.ts";
import { processFromMessage } from "../../oci/wire.ts";
import { type CancelSignal, orCancelled } from "../../sys/cancellation.ts";
import { SIGNAL_COUNT } from "../../sys/process.ts";
import type { ContainerProcess } from "../container/container-process.ts";
import { execInContainer } from "../container/exec-in-container.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { AgentServiceHandlers } from "./generated.ts";
import { refusePassedStreams, required } from "./request-checks.ts";

type ProcessCalls = Pick<
  AgentServiceHandlers,
  | "execProcess"
  | "signalProcess"
  | "waitProcess"
  | "writeStdin"
  | "readStdout"
  | "readStderr"
  | "closeStdin"
  | "ttyWinResize"
>;

/** What a wait answers with of each stream, bytes: two of them fit into a message of the protocol. */
const MAX_LAST_OUTPUT_BYTES = 1 << 20;

/** Names a process in most requests. */
interface ProcessName {
  readonly containerId: string;
  readonly execId: string;
}

export function processCalls(sandbox: Sandbox): ProcessCalls {
  const find = ({ containerId, execId }: ProcessName): ContainerProcess =>
    containerId === GUEST_ITSELF
      ? sandbox.guestProcesses.process(execId)
      : sandbox.container(containerId).process(execId);

  const read = async (
    request: ProcessName & { readonly len: number },
    stream: "stdout" | "stderr",
    context: { readonly signal?: CancelSignal },
  ) => {
    const process = find(request);
    if (request.len === 0) {
      throw new KataError("invalid-argument", {
        operation: `read ${stream}`,
        object: "no bytes are asked for",
      });
    }
    const data = await process.read(stream, request.len, context.signal);
    // Hosts take an error for the end of the stream; an answer without bytes would make them ask again.
    if (data.length === 0)
      throw new KataError("end-of-stream", { operation: `read ${stream}`, object: "EOF" });
    return { data };
  };

  return {
    async execProcess(request) {
      refusePassedStreams(request);
      const process = processFromMessage(required(request.process, "run process", "process"));
      if (request.containerId === GUEST_ITSELF) {
        await sandbox.guestProcesses.run(request.execId, process, sandbox.processContext);
        return {};
      }
      const container = sandbox.container(request.containerId);
      await execInContainer(container, request.execId, process, sandbox.processContext);
      return {};
    },

    async signalProcess(request) {
      if (request.signal < 1 || request.signal > SIGNAL_COUNT) {
        throw new KataError("invalid-argument", { operation: "send signal", object: String(request.signal) });
      }
      if (request.containerId === GUEST_ITSELF) find(request).signal(request.signal);
      else await sandbox.container(request.containerId).signal(request.execId, request.signal);
      return {};
    },

    async waitProcess(request, context) {
      const process = find(request);
      const status = await orCancelled(process.wait(), context.signal);
      // A policy decides about each read.
      if (request.outputBytes === 0 || sandbox.context.policy.isClosed) return { status };
      return { status, output: process.lastOutput(Math.min(request.outputBytes, MAX_LAST_OUTPUT_BYTES)) };
    },

    async writeStdin(request) {
      await find(request).writeStdin(request.data);
      return { len: request.data.length };
    },

    readStdout: (request, context) => read(request, "stdout", context),

    readStderr: (request, context) => read(request, "stderr", context),

    async closeStdin(request) {
      await find(request).closeStdin();
      return {};
    },

    async ttyWinResize(request) {
      find(request).resizeTerminal(request.row, request.column);
      return {};
    },
  };
}
