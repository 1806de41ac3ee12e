/**
 * A guest whose CPUs and memory are as near to each other as the host's: one node for each of the host's, or as `numa_mapping` says.
 *
 * Needs a machine of one size (nothing can be plugged into a node) and a CPU for each node.
 * Sources: numa(7); Linux Documentation/ABI/stable/sysfs-devices-node; upstream Kata Containers, "How to use NUMA".
 */
import { KataError } from "../../kata-error.ts";
import { parseCpuList } from "../../oci/cpu-list.ts";
import { readDirectory, readTextFileIfExists } from "../../sys/files.ts";
import type { NumaNode } from "../hypervisor/types.ts";
import type { MachineSize } from "./sizing.ts";

const NODES = "/sys/devices/system/node";
/** Most nodes that QEMU takes. */
const MAX_NODES = 128;

/** Numbers of the host's nodes that have CPUs, ascending. */
export function hostNumaNodes(directory = NODES): number[] {
  if (readTextFileIfExists(`${directory}/online`) === undefined) return [0];
  return readDirectory(directory)
    .map(({ name }) => /^node(\d{1,4})$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .filter((digits) => (readTextFileIfExists(`${directory}/node${digits}/cpulist`) ?? "").trim() !== "")
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * The guest's nodes: CPUs and memory are divided evenly, the first nodes take what is over.
 *
 * @param mapping for each node of the guest the host's nodes that its memory is on, such as `0` or `0-1`; empty for one to one.
 * @throws KataError `invalid-configuration` for a mapping that the host cannot keep, or a machine that is too small to divide.
 */
export function guestNumaNodes(
  mapping: readonly string[],
  hostNodes: readonly number[],
  { vcpus, memoryMib }: MachineSize,
): NumaNode[] {
  const wanted = mapping.length > 0 ? mapping.map(parseCpuList) : hostNodes.map((node) => [node]);
  const missing = wanted.flat().find((node) => !hostNodes.includes(node));
  if (missing !== undefined) {
    throw refused(`node ${missing}`, `numa_mapping may name the host's nodes: ${hostNodes.join(", ")}`);
  }
  if (wanted.length > MAX_NODES)
    throw refused(`${wanted.length} nodes`, `a machine has at most ${MAX_NODES}`);
  if (vcpus < wanted.length) {
    throw refused(
      `${vcpus} CPUs for ${wanted.length} nodes`,
      "raise default_vcpus to at least a CPU for each node, or name fewer in numa_mapping",
    );
  }
  return wanted.map((nodes, index) => ({
    hostNodes: nodes,
    firstVcpu: shareBefore(vcpus, wanted.length, index),
    lastVcpu: shareBefore(vcpus, wanted.length, index + 1) - 1,
    memoryMib:
      shareBefore(memoryMib, wanted.length, index + 1) - shareBefore(memoryMib, wanted.length, index),
  }));
}

/** What the first `count` of `parts` have of `whole`. */
function shareBefore(whole: number, parts: number, count: number): number {
  return Math.floor(whole / parts) * count + Math.min(whole % parts, count);
}

function refused(object: string, hint: string): KataError {
  return new KataError("invalid-configuration", {
    operation: "divide machine into NUMA nodes",
    object,
    hint,
  });
}
