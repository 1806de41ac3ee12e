/**
 * Whether /dev/kvm runs guest code on the CPU.
 *
 * A tiny guest in 64-bit mode executes one SSE2 instruction and one port write. An implementation that only interprets
 * guest code until a paravirtual kernel takes over (kvm-pvm) gets as far as real mode and simple instructions, but not this
 * far. The probe runs in a child: a KVM that hangs or breaks costs that child, and its memory goes with it.
 * Sources: Linux Documentation/virt/kvm/api.rst; Intel SDM volume 3, "Initializing IA-32e mode".
 */
import { describeError, hasErrno, KataError } from "../../kata-error.ts";
import { withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { O_RDWR, open } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { mapAnonymous, mapDevice } from "../../sys/memory.ts";
import { pipe } from "../../sys/pipe.ts";
import { clone, pidfdSendSignal, SIGKILL, waitForChild } from "../../sys/process.ts";
import { exit } from "../../sys/program.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

export interface KvmProbe {
  readonly works: boolean;
  /** Why not; empty if it works. */
  readonly reason: string;
}

/** Far more than the millisecond it takes. */
const PROBE_DEADLINE_MS = 1000;
const MAX_REASON_BYTES = 512;

/** Tries KVM. Never throws for a host without it. */
export async function probeKvm(path = "/dev/kvm"): Promise<KvmProbe> {
  let device: FileDescriptor;
  try {
    device = open(path, O_RDWR);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENXIO", "ENODEV")) return { works: false, reason: `${path} is missing` };
    return { works: false, reason: describeError(error) };
  }
  using kvm = device;
  using report = pipe();
  const cloned = clone({ flags: 0 });
  if (cloned.role === "child") reportAndExit(kvm.fd, report.writer.fd);
  report.writer.close();
  const answer = new FdStream(new FileDescriptor(report.reader.release()));
  const ended = waitForChild(cloned.pidfd, cloned.pid).finally(() => cloned.pidfd.close());
  try {
    const bytes = new Uint8Array(MAX_REASON_BYTES);
    const what = { operation: "probe", object: path };
    const count = await withDeadline(loop, PROBE_DEADLINE_MS, what, answer.read(bytes));
    // A first byte of 1 is success, any other text the reason; nothing at all: the child died.
    if (count === 0) return { works: false, reason: `${path}: the probe died` };
    if (bytes[0] === 1) return { works: true, reason: "" };
    return { works: false, reason: utf8Decode(bytes.subarray(0, count)) };
  } catch (error) {
    return { works: false, reason: describeError(error) };
  } finally {
    answer.close();
    if (cloned.pidfd.isOpen) pidfdSendSignal(cloned.pidfd, SIGKILL);
    await ended;
  }
}

/** What the child does. */
function reportAndExit(kvm: number, report: number): never {
  let answer: Uint8Array = Uint8Array.of(1);
  try {
    if (kernel().architecture === "x86_64") runGuest(kvm);
    else createVcpu(kvm, createMachine(kvm));
  } catch (error) {
    answer = utf8Encode(describeError(error)).subarray(0, MAX_REASON_BYTES);
  }
  kernel().syscall("write", report, answer, answer.length);
  exit(0);
}

const KVM_GET_API_VERSION = 0xae00;
const KVM_CREATE_VM = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE = 0xae04;
const KVM_CREATE_VCPU = 0xae41;
const KVM_SET_USER_MEMORY_REGION = 0x4020ae46;
const KVM_SET_TSS_ADDR = 0xae47;
const KVM_RUN = 0xae80;
const KVM_SET_REGS = 0x4090ae82;
const KVM_GET_SREGS = 0x8138ae83;
const KVM_SET_SREGS = 0x4138ae84;
/** The only version there has been since Linux 2.6.22. */
const API_VERSION = 12;
const EXIT_IO = 2;
const EXIT_INTERNAL_ERROR = 17;

function createMachine(kvm: number): number {
  const version = ioctl(kvm, KVM_GET_API_VERSION, 0, "ask version of");
  if (version !== API_VERSION) {
    throw new KataError("unsupported", { operation: "probe KVM", object: `version ${version}` });
  }
  return ioctl(kvm, KVM_CREATE_VM, 0, "create a machine with");
}

function createVcpu(_kvm: number, machine: number): number {
  return ioctl(machine, KVM_CREATE_VCPU, 0, "create a vCPU with");
}

// The guest's memory: page tables that map 2 MiB one to one, and the program.
const MEMORY_BYTES = 0x8000;
const LEVEL_4 = 0x1000;
const LEVEL_3 = 0x2000;
const LEVEL_2 = 0x3000;
const PROGRAM = 0x4000;
const PRESENT_WRITABLE = 0x3n;
const LARGE_PAGE = 0x80n;
/** `paddd %xmm0,%xmm0; outb %al,$0x10; hlt` */
const PROGRAM_BYTES = [0x66, 0x0f, 0xfe, 0xc0, 0xe6, 0x10, 0xf4];

/** @throws KataError that says how far it came, unless the guest's port write arrives. */
function runGuest(kvm: number): void {
  const machine = createMachine(kvm);
  // Needed by Intel's VMX for its own purposes; three pages below the firmware.
  ioctl(machine, KVM_SET_TSS_ADDR, 0xfffb_d000, "set up");
  const memory = mapAnonymous(MEMORY_BYTES);
  const entries = new BigUint64Array(memory.buffer);
  entries[LEVEL_4 / 8] = BigInt(LEVEL_3) | PRESENT_WRITABLE;
  entries[LEVEL_3 / 8] = BigInt(LEVEL_2) | PRESENT_WRITABLE;
  entries[LEVEL_2 / 8] = LARGE_PAGE | PRESENT_WRITABLE;
  new Uint8Array(memory.buffer).set(PROGRAM_BYTES, PROGRAM);
  // slot u32, flags u32, guest address, size, address here.
  const region = new BigUint64Array([0n, 0n, BigInt(MEMORY_BYTES), BigInt(memory.address)]);
  ioctl(machine, KVM_SET_USER_MEMORY_REGION, region, "give memory to");
  const vcpu = createVcpu(kvm, machine);
  const state = mapDevice(vcpu, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0, "ask size of a vCPU of"));
  enterLongMode(vcpu);
  ioctl(vcpu, KVM_RUN, 0, "run a vCPU of");
  const reason = new DataView(state.buffer).getUint32(8, true);
  if (reason === EXIT_IO) return;
  throw new KataError("unsupported", {
    operation: "run a guest with KVM",
    object:
      reason === EXIT_INTERNAL_ERROR
        ? "it interprets guest code instead of running it on the CPU"
        : `unexpected exit ${reason}`,
  });
}

const CR0_PE_MP_ET_PG = 0x8000_0013n;
const CR4_PAE_OSFXSR_OSXMMEXCPT = 0x620n;
const EFER_LME_LMA = 0x500n;

/** Sets the registers as a boot loader for a 64-bit kernel does. Layouts: struct kvm_sregs, struct kvm_regs. */
function enterLongMode(vcpu: number): void {
  const special = new DataView(new ArrayBuffer(312));
  ioctl(vcpu, KVM_GET_SREGS, special.buffer, "read registers of");
  // struct kvm_segment, 24 bytes: base u64, limit u32, selector u16, then bytes type, present, dpl, db, s, l, g.
  const segment = (index: number, selector: number, attributes: readonly number[]) => {
    const at = index * 24;
    special.setBigUint64(at, 0n, true);
    special.setUint32(at + 8, 0xffff_ffff, true);
    special.setUint16(at + 12, selector, true);
    attributes.forEach((value, offset) => {
      special.setUint8(at + 14 + offset, value);
    });
  };
  segment(0, 8, [11, 1, 0, 0, 1, 1, 1]);
  for (let index = 1; index <= 5; index++) segment(index, 16, [3, 1, 0, 1, 1, 0, 1]);
  special.setBigUint64(224, CR0_PE_MP_ET_PG, true);
  special.setBigUint64(240, BigInt(LEVEL_4), true);
  special.setBigUint64(248, CR4_PAE_OSFXSR_OSXMMEXCPT, true);
  special.setBigUint64(264, EFER_LME_LMA, true);
  ioctl(vcpu, KVM_SET_SREGS, special.buffer, "set registers of");
  const registers = new BigUint64Array(18);
  registers[16] = BigInt(PROGRAM);
  registers[17] = 2n; // rflags: the bit that is always set
  ioctl(vcpu, KVM_SET_REGS, registers, "set registers of");
}

function ioctl(
  fd: number,
  request: number,
  argument: number | ArrayBuffer | ArrayBufferView,
  what: string,
): number {
  return check(kernel().syscall("ioctl", fd, request, argument), what, "KVM");
}
