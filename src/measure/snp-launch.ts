/**
 * The launch measurement of an SEV-SNP machine, computed without one: what its attestation report must show if the host has
 * started what it was told to.
 *
 * The measurement is a chain: for each page its digest, kind and address are hashed together with the measurement before.
 * Sources: SEV-SNP firmware ABI 1.55, section 8.17.2, "PAGE_INFO"; QEMU, target/i386/sev.c (order of pages, kernel hashes).
 */
import { KataError } from "../kata-error.ts";
import { guidBytes, type SnpFirmware } from "./snp-firmware.ts";
import { FIRST_ADDRESS, processorPage } from "./snp-processor.ts";

const PAGE = 4096;
const DIGEST_BYTES = 48;
const PAGE_INFO_BYTES = 0x70;
/** Where the hardware says that processors' pages are. */
const PROCESSOR_PAGE_ADDRESS = 0xffff_ffff_f000n;
const MAX_PROCESSORS = 4096;

const PAGE_KINDS = { normal: 1, processor: 2, zeros: 3, secrets: 5, cpuid: 6 } as const;

export interface HashFunctions {
  readonly sha256: (bytes: Uint8Array) => Uint8Array;
  readonly sha384: (bytes: Uint8Array) => Uint8Array;
}

/** What is booted directly, if anything is; the firmware checks it against the hashes that are measured. */
export interface DirectBoot {
  readonly kernel: Uint8Array;
  /** Empty for none. */
  readonly initrd: Uint8Array;
  readonly commandLine: string;
}

export interface SnpMachine {
  readonly firmware: SnpFirmware;
  readonly boot: DirectBoot | undefined;
  readonly processors: number;
  /** See `processorSignature`. */
  readonly signature: number;
  /** SEV_FEATURES; 1 unless the host's kernel sets more. */
  readonly features: number;
}

/** The measurement, 48 bytes. @throws KataError `invalid-argument` or `invalid-firmware`. */
export function snpLaunchMeasurement(machine: SnpMachine, hash: HashFunctions): Uint8Array {
  const { firmware, boot, processors, signature, features } = machine;
  if (!Number.isInteger(processors) || processors < 1 || processors > MAX_PROCESSORS) {
    throw new KataError("invalid-argument", {
      operation: "measure launch",
      object: `${processors} processors`,
    });
  }
  const chain = new Chain(hash);
  chain.addPages(firmware.address, firmware.image);
  if (boot !== undefined && !firmware.sections.some(({ kind }) => kind === "kernel-hashes")) {
    throw takesNoHashes();
  }
  for (const { address, bytes, kind } of firmware.sections) {
    if (kind === "secrets") chain.add("secrets", address);
    else if (kind === "cpuid") chain.add("cpuid", address);
    else if (kind === "kernel-hashes" && boot !== undefined) addKernelHashes(chain, firmware, boot, hash);
    else for (let at = 0; at < bytes; at += PAGE) chain.add("zeros", address + at);
  }
  for (let index = 0; index < processors; index++) {
    const address = index === 0 ? FIRST_ADDRESS : firmware.resetAddress;
    chain.addProcessor(processorPage({ address, signature, features }));
  }
  return chain.digest;
}

function addKernelHashes(chain: Chain, firmware: SnpFirmware, boot: DirectBoot, hash: HashFunctions): void {
  const { hashTable } = firmware;
  if (hashTable === undefined) throw takesNoHashes();
  const offset = hashTable % PAGE;
  const page = new Uint8Array(PAGE);
  page.set(kernelHashes(boot, hash), offset);
  chain.addPages(hashTable - offset, page);
}

function takesNoHashes(): KataError {
  return new KataError("invalid-firmware", {
    operation: "measure launch",
    object: "OVMF image",
    hint: "it takes no hashes of a kernel: use the one built for direct boot (OvmfPkg/AmdSev)",
  });
}

const TABLE = "9438d606-4f22-4cc9-b479-a793d411fd21";
const COMMAND_LINE = "97d02dd8-bd20-4c94-aa78-e7714d36ab2a";
const INITRD = "44baf731-3a2f-4bd7-9af1-41e29169781d";
const KERNEL = "4de79437-abd2-427f-b835-d5b172d2045b";
const HASH_BYTES = 32;
const HEADER_BYTES = 18;

/** The table of hashes as QEMU lays it out (`kernel-hashes=on`), to a multiple of 16 bytes. */
export function kernelHashes(
  { kernel, initrd, commandLine }: DirectBoot,
  { sha256 }: HashFunctions,
): Uint8Array {
  const line = new TextEncoder().encode(`${commandLine}\0`);
  const entries: readonly (readonly [guid: string, data: Uint8Array])[] = [
    [COMMAND_LINE, line],
    [INITRD, initrd],
    [KERNEL, kernel],
  ];
  const length = HEADER_BYTES + entries.length * (HEADER_BYTES + HASH_BYTES);
  const table = new Uint8Array(Math.ceil(length / 16) * 16);
  const view = new DataView(table.buffer);
  const header = (at: number, guid: string, bytes: number) => {
    table.set(guidBytes(guid), at);
    view.setUint16(at + 16, bytes, true);
  };
  header(0, TABLE, length);
  let at = HEADER_BYTES;
  for (const [guid, data] of entries) {
    header(at, guid, HEADER_BYTES + HASH_BYTES);
    table.set(sha256(data), at + HEADER_BYTES);
    at += HEADER_BYTES + HASH_BYTES;
  }
  return table;
}

class Chain {
  digest: Uint8Array = new Uint8Array(DIGEST_BYTES);
  private readonly hash: HashFunctions;

  constructor(hash: HashFunctions) {
    this.hash = hash;
  }

  addPages(address: number, content: Uint8Array): void {
    for (let at = 0; at < content.length; at += PAGE) {
      this.extend(PAGE_KINDS.normal, BigInt(address + at), this.hash.sha384(content.subarray(at, at + PAGE)));
    }
  }

  addProcessor(page: Uint8Array): void {
    this.extend(PAGE_KINDS.processor, PROCESSOR_PAGE_ADDRESS, this.hash.sha384(page));
  }

  /** A page whose content is not measured. */
  add(kind: "zeros" | "secrets" | "cpuid", address: number): void {
    this.extend(PAGE_KINDS[kind], BigInt(address), new Uint8Array(DIGEST_BYTES));
  }

  private extend(kind: number, address: bigint, content: Uint8Array): void {
    const info = new Uint8Array(PAGE_INFO_BYTES);
    const view = new DataView(info.buffer);
    info.set(this.digest);
    info.set(content, DIGEST_BYTES);
    view.setUint16(96, PAGE_INFO_BYTES, true);
    view.setUint8(98, kind);
    view.setBigUint64(104, address, true);
    this.digest = this.hash.sha384(info);
  }
}
