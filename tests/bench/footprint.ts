/**
 * `footprint`: what this project's programs and its guest take on disk, and what a pod of 128 MiB takes on the host.
 *
 * A pod's memory is the guest's, which is what the pod has asked for, and what comes on top of it: the shim, the file server, and the
 * monitor, whose own is told by what it is for.
 */
import { readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { processesOf } from "../harness/instance-processes.ts";
import { BUILT_PROGRAMS, GUEST_INITRD, GUEST_KERNEL } from "../harness/kata-configuration.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { type Figure, figure } from "./figure.ts";
import { isGuestMemory, type Mapping, mappingsOf, memoryFilesOf } from "./process-memory.ts";
import type { KataSubjects } from "./subjects.ts";

/** AKS's smallest machine of a pod. */
const MEMORY_MIB = 128;
/** After the start, so that what was needed for it alone is given back, ms. */
const SETTLE_MS = 3000;
const PODS = 3;

/** What a node is given, of what a build leaves. */
const PROGRAMS = ["containerd-shim-kata-v2", "kata-runtime", "kata-agent"];

export async function footprint(
  containerd: PrivateContainerd,
  image: string,
  kata: KataSubjects,
): Promise<Figure[]> {
  return [...onDisk(), ...(await inMemory(containerd, image, kata))];
}

function onDisk(): Figure[] {
  const built = readdirSync(BUILT_PROGRAMS);
  const missing = PROGRAMS.find((name) => !built.includes(name));
  if (missing !== undefined) throw new Error(`bench: ${missing} is not built: npm run build`);
  const files = [
    ...PROGRAMS.map((name) => join(BUILT_PROGRAMS, name)),
    join(dirname(GUEST_KERNEL), "vmlinuz"),
    GUEST_INITRD,
  ];
  return files.map((path) =>
    figure("footprint-disk", path.split("/").at(-1) ?? path, "bytes", [statSync(path).size]),
  );
}

async function inMemory(
  { ctr, address, pid: daemon }: PrivateContainerd,
  image: string,
  kata: KataSubjects,
): Promise<Figure[]> {
  const { runtime, flags } = kata.configured("kata-small", {
    "hypervisor.qemu": { default_memory: MEMORY_MIB },
  });
  const samples = new Map<string, number[]>();
  const add = (key: string, bytes: number) => samples.set(key, [...(samples.get(key) ?? []), bytes]);
  for (let index = 0; index < PODS; index++) {
    const id = `${address.tag}-footprint-${index}`;
    await ctr.runDetached({ id, image, runtime, flags, command: ["sleep", "1000000"] });
    try {
      await pause(SETTLE_MS);
      const processes = processesOf(address.tag).filter(({ pid }) => pid !== daemon);
      for (const [key, bytes] of weigh(processes)) add(key, bytes);
    } finally {
      await ctr.remove(id);
    }
  }
  return [...samples].map(([key, bytes]) => {
    const [name = "", subject = ""] = key.split("\0");
    return figure(name, subject, "bytes", bytes);
  });
}

/** Bytes by `NAME\0SUBJECT`. */
function weigh(processes: readonly { readonly pid: number; readonly argv: readonly string[] }[]) {
  const sums = new Map<string, number>();
  const add = (name: string, subject: string, bytes: number) => {
    const key = `${name}\0${subject}`;
    sums.set(key, (sums.get(key) ?? 0) + bytes);
  };
  for (const { pid, argv } of processes) {
    const program = argv[0]?.split("/").at(-1) ?? "";
    const isMonitor = program.startsWith("qemu-system-");
    if (isMonitor) add("footprint-guest", "memory that the host has given", memoryFilesOf(pid));
    for (const mapping of mappingsOf(pid)) {
      add("footprint-resident", program, mapping.resident);
      add("footprint-proportional", program, mapping.proportional);
      if (isGuestMemory(mapping)) continue;
      add(
        "footprint-beyond-guest",
        isMonitor ? monitorPart(mapping) : "shim and file server",
        mapping.proportional,
      );
    }
  }
  return sums;
}

function monitorPart({ name, permissions }: Mapping): string {
  if (name.startsWith("/")) return "QEMU: program and libraries";
  // An emulated processor's: with hardware virtualization there is none.
  return permissions === "rwxp" ? "QEMU: translations of guest code" : "QEMU: data";
}
