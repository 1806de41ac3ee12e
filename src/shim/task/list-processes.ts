/** Pids: the processes of a container by their numbers in the guest. */
import type { GuestProcess } from "../../sandbox/types.ts";
import { encodeProcessDetails } from "../generated.ts";
import type { Container } from "../pod/container.ts";
import type { Pod } from "../pod/pod.ts";

/** What of an exec is told beside its number. Source: containerd, api/runtime/task/v2, Pids. */
const PROCESS_DETAILS_TYPE = "containerd.runc.v1.ProcessDetails";

/**
 * The numbers count in the guest: the host's process of that number is another one. A guest whose agent does not tell, and a
 * container that has ended, are listed with what the host sees, the machine's process.
 */
export async function listProcesses(pod: Pod, id: string) {
  const container = pod.container(id);
  const told = container.init.state.name === "stopped" ? [] : await pod.sandbox.processes(id);
  return (told.length > 0 ? told : asSeenByHost(container)).map(listed);
}

function asSeenByHost({ facts, execs }: Container): GuestProcess[] {
  const running = execs.filter(({ state }) => state.name === "running");
  const execIds = ["", ...running.map(({ address }) => address.execId)];
  return execIds.map((execId) => ({ pid: facts.pid, execId }));
}

function listed({ pid, execId }: GuestProcess) {
  if (execId === "") return { pid };
  return { pid, info: { typeUrl: PROCESS_DETAILS_TYPE, value: encodeProcessDetails({ execId }) } };
}
