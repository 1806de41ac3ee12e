/**
 * Device programs of cgroups of version 2.
 * Source: bpf(2), linux/bpf.h (union bpf_attr).
 */
import { FileDescriptor } from "./descriptor.ts";
import { O_DIRECTORY, O_RDONLY, open } from "./files.ts";
import { check, kernel } from "./kernel.ts";
import { cString } from "./utf8.ts";

const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_DETACH = 9;
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_ALLOW_MULTI = 2;
/** Bytes of one instruction. */
const INSTRUCTION_BYTES = 8;

/** Loads `instructions` as a device program. It goes with its last descriptor, once nothing has it attached. */
export function loadDeviceProgram(instructions: Uint8Array): FileDescriptor {
  const k = kernel();
  const license = cString("Apache-2.0");
  const attributes = new DataView(new ArrayBuffer(48));
  attributes.setUint32(0, BPF_PROG_TYPE_CGROUP_DEVICE, true);
  attributes.setUint32(4, instructions.length / INSTRUCTION_BYTES, true);
  attributes.setBigUint64(8, BigInt(k.addressOf(instructions)), true);
  attributes.setBigUint64(16, BigInt(k.addressOf(license)), true);
  const fd = k.syscall("bpf", BPF_PROG_LOAD, attributes.buffer, attributes.byteLength);
  // Both buffers are used by address above and have to live until here.
  const what = `${instructions.length + license.length} bytes`;
  return new FileDescriptor(check(fd, "load device program", what));
}

/** Attaches `program` to the cgroup `directory`, beside those that are there: a device must please all of them. */
export function attachDeviceProgram(directory: string, program: number): void {
  changeAttachment(BPF_PROG_ATTACH, "attach device program to", directory, program);
}

/** Takes back {@link attachDeviceProgram}. */
export function detachDeviceProgram(directory: string, program: number): void {
  changeAttachment(BPF_PROG_DETACH, "detach device program from", directory, program);
}

function changeAttachment(command: number, operation: string, directory: string, program: number): void {
  using cgroup = open(directory, O_RDONLY | O_DIRECTORY);
  const flags = command === BPF_PROG_ATTACH ? BPF_F_ALLOW_MULTI : 0;
  const attributes = new Uint32Array([cgroup.fd, program, BPF_CGROUP_DEVICE, flags, 0]);
  check(kernel().syscall("bpf", command, attributes, attributes.byteLength), operation, directory);
}
