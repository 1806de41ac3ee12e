/** A machine for tests of drivers: the guest of the tests, without any device. */
import type { MachineSpec } from "../hypervisor/types.ts";
import { testConfiguration, testId } from "./test-pod.ts";

/** @param changes what the test is about; `program` and `runDirectory` at least are the driver's own. */
export function testMachineSpec(
  changes: Partial<MachineSpec> & Pick<MachineSpec, "program" | "runDirectory">,
): MachineSpec {
  const { hypervisor } = testConfiguration();
  return {
    id: testId(),
    accelerator: "kvm",
    machineType: "",
    machineOptions: "",
    cpuFeatures: "",
    firmware: "",
    kernel: hypervisor.kernel,
    root: { kind: "initrd", path: hypervisor.initrd },
    kernelParameters: "",
    debug: false,
    vcpus: 1,
    maxVcpus: 1,
    memoryMib: hypervisor.default_memory,
    hugePages: false,
    preallocateMemory: false,
    reclaimMemory: false,
    hotPlugSlots: 0,
    entropySource: "/dev/urandom",
    devices: [],
    networkNamespace: undefined,
    cgroups: [],
    ...changes,
  };
}
