/** What a saved QEMU machine depends on. */
import { fileState } from "../file-state.ts";
import { initialArchive } from "../guest-root.ts";
import { processorIdentity } from "../processor-identity.ts";
import type { MachineFingerprint, MachineSpec } from "../types.ts";
import { qemuArguments } from "./command-line.ts";
import { chooseFirmware } from "./fast-emulation.ts";
import { flashChips } from "./flash-chips.ts";
import { inheritNetworkCard } from "./network-card.ts";

/** See {@link Hypervisor.fingerprint}. Descriptors have the same numbers in every text. */
export function fingerprint(request: MachineSpec): MachineFingerprint {
  const spec: MachineSpec = { ...request, firmware: chooseFirmware(request) };
  // Its pages cannot be copied one by one, and are the host's scarcest.
  if (spec.hugePages) return { kind: "unsupported", reason: "enable_hugepages is set" };
  // Its memory is not in the one file that is kept.
  if (spec.memoryGrowth?.kind === "virtio-mem")
    return { kind: "unsupported", reason: "enable_virtio_mem is set" };
  if (spec.numaNodes !== undefined) return { kind: "unsupported", reason: "enable_numa is set" };
  if (spec.machineType === "microvm") return { kind: "unsupported", reason: "machine_type is microvm" };
  if (spec.confidential !== undefined)
    return { kind: "unsupported", reason: "a confidential guest's memory is its own" };
  if (flashChips(spec).length > 0) return { kind: "unsupported", reason: "its firmware keeps variables" };
  const other = spec.devices.find(({ kind }) => kind !== "network");
  if (other !== undefined) return { kind: "unsupported", reason: `a ${other.kind} cannot be saved` };
  const args = qemuArguments(
    { ...spec, id: "template", ...withoutMonitor(spec) },
    {
      monitor: 3,
      console: 4,
      agent: 5,
      vsock: undefined,
      devices: spec.devices.map((device) =>
        device.kind === "network" ? inheritNetworkCard(device, () => 6) : { primary: 6 },
      ),
      memory: 7,
    },
  );
  const archive = initialArchive(spec.root);
  const files = [
    spec.program,
    spec.kernel,
    spec.root.path,
    ...(spec.extensions ?? []).map(({ path }) => path),
    ...(archive === undefined || archive === spec.root.path ? [] : [archive]),
    ...(spec.firmware === "" ? [] : [spec.firmware]),
  ];
  return { kind: "fingerprint", text: [...args, ...files.map(fileState), processor(spec)].join("\n") };
}

/** A second monitor is not the machine's, and its socket is in each sandbox's own directory. */
function withoutMonitor({ options }: MachineSpec): Pick<MachineSpec, "options"> {
  return options === undefined ? {} : { options: { ...options, extraMonitor: undefined } };
}

/** An emulated processor is QEMU's alone. */
function processor({ accelerator }: MachineSpec): string {
  return accelerator === "tcg" ? "" : processorIdentity();
}
