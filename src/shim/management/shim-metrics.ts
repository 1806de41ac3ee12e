/**
 * What a scrape of a pod answers: the shim's own figures, those of the monitor and the file server, and what agent and guest tell.
 * Source: upstream Kata Containers, metric families of the shim.
 */
import { describeError, KataError } from "../../kata-error.ts";
import { readCrashRecord } from "../../sandbox/crash-record.ts";
import { processStartTime } from "../../sandbox/process-identity.ts";
import { sandboxPaths } from "../../sandbox/sandbox-paths.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  parseNetworkDevices,
  parseStat,
  processFamilies,
  textOf,
} from "../../sys/metrics/process-figures.ts";
import { family } from "../../sys/metrics/prometheus-text.ts";
import type { ManagedPod } from "./managed-pod.ts";

/** Clock ticks a second; the same on all architectures that we know. */
const TICKS_PER_SECOND = 100;
const VIRTIOFSD = "virtiofsd";

/** The whole answer. A guest that does not answer leaves its part out, with the reason as a comment. */
export async function podMetrics(pod: ManagedPod): Promise<string> {
  const { sandbox, calls } = pod;
  const [guest, overhead] = await Promise.all([guestPart(pod), overheadPart(pod)]);
  const { hypervisorPid } = sandbox;
  const fileServers = processesOf(sandbox.id).filter(({ name }) => name === VIRTIOFSD);
  return [
    calls.text(
      "kata_shim_rpc_durations_histogram_milliseconds",
      "How long calls of the container manager took.",
    ),
    sandbox.insight.agentCalls.text(
      "kata_shim_agent_rpc_durations_histogram_milliseconds",
      "How long calls of the agent took.",
    ),
    processFamilies("kata_shim", "the shim", "self"),
    overhead,
    processFamilies("kata_hypervisor", "the hypervisor", hypervisorPid),
    family(
      "kata_hypervisor_netdev",
      "Network devices that the hypervisor sees.",
      parseNetworkDevices(textOf(`/proc/${hypervisorPid}/net/dev`)),
    ),
    // It forks itself; the first one is the parent, which only waits.
    ...fileServers.slice(-1).map(({ pid }) => processFamilies("kata_virtiofsd", "virtiofsd", pid)),
    guest,
  ].join("");
}

async function guestPart({ sandbox }: ManagedPod): Promise<string> {
  try {
    return ofGuest(await sandbox.insight.guestMetrics());
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    return `# the guest did not answer: ${describeError(error).replaceAll("\n", " ")}\n`;
  }
}

/**
 * What a guest may say: samples and their descriptions, in its own families. Those of the agent's runtime (`go_`, `process_`) get its
 * name in front, as upstream's do; anything else is left out, so that a guest speaks for nobody else and to no terminal.
 */
export function ofGuest(text: string): string {
  return text
    .split("\n")
    .flatMap((line) => {
      const [, comment = "", name, rest] =
        /^(# (?:HELP|TYPE) )?([A-Za-z_:][\w:]*)([^\0-\x1f\x7f-\x9f]*)$/.exec(line) ?? [];
      if (name === undefined || rest === undefined) return [];
      if (/^kata_(agent|guest)_/.test(name)) return [`${line}\n`];
      return /^(go|process)_/.test(name) ? [`${comment}kata_agent_${name}${rest}\n`] : [];
    })
    .join("");
}

/** Of a pod: processor time in seconds, memory in bytes. */
interface Use {
  readonly at: number;
  readonly seconds: number;
  readonly bytes: number;
}

/** What the programs on the host had used, and what the containers in the guest, at the last scrape. */
let before: { readonly host: Use; readonly guest: Use } | undefined;

/** What a pod costs beside what its containers use: memory now, processor time since the last scrape. */
async function overheadPart(pod: ManagedPod): Promise<string> {
  const host = hostUse(pod.sandbox.id);
  const guest = await guestUse(pod);
  if (guest === undefined) return "";
  const last = before;
  before = { host, guest };
  const memory = family(
    "kata_shim_pod_overhead_memory_in_bytes",
    "Memory of the pod beside its containers', bytes.",
    [[{}, Math.max(0, host.bytes - guest.bytes)]],
  );
  if (last === undefined || host.at <= last.host.at) return memory;
  const used = host.seconds - last.host.seconds - (guest.seconds - last.guest.seconds);
  const percent = (Math.max(0, used) / ((host.at - last.host.at) / 1000)) * 100;
  return `${family(
    "kata_shim_pod_overhead_cpu",
    "Processor time of the pod beside its containers' since the last scrape, percent of one.",
    [[{}, Number(percent.toFixed(3))]],
  )}${memory}`;
}

function hostUse(sandboxId: string): Use {
  let [seconds, bytes] = [0, 0];
  for (const pid of ["self", ...processesOf(sandboxId).map((each) => each.pid)]) {
    const stat = parseStat(textOf(`/proc/${pid}/stat`));
    // What ended children have used is their own.
    for (const [{ item }, ticks] of stat) {
      if (item === "utime" || item === "stime") seconds += ticks / TICKS_PER_SECOND;
    }
    bytes += Number(/^VmRSS:\s+(\d+) kB$/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
  }
  return { at: loop.now(), seconds, bytes };
}

async function guestUse({ sandbox, containers }: ManagedPod): Promise<Use | undefined> {
  let [seconds, bytes] = [0, 0];
  try {
    for (const { id, init } of containers()) {
      if (init.state.name !== "running") continue;
      const { cpu, memory } = await sandbox.stats(id);
      seconds += cpu.total / 1e9;
      bytes += memory.usage;
    }
  } catch (error) {
    // It has just ended, or the guest is too busy: there is another scrape.
    if (!(error instanceof KataError)) throw error;
    return undefined;
  }
  return { at: loop.now(), seconds, bytes };
}

/** The programs on the host that are noted down and still the same. */
function processesOf(sandboxId: string) {
  const noted = readCrashRecord(sandboxPaths(sandboxId))?.processes ?? [];
  return noted.filter(({ pid, startTime }) => processStartTime(pid) === startTime);
}
