/**
 * What the pool and those who talk to it say: lines of JSON, the pool's answer with descriptors.
 *
 * ```
 * shim → pool     {"do":"claim","key":K}
 * pool → shim     {"kind":"machine",…}  with the descriptors of DESCRIPTORS, in that order      or  {"kind":"refused","reason":R}
 * any → pool      {"do":"status"}
 * pool → any      {"kind":"status",…}
 * keeper → pool   {"kind":"machine",…}  with the same, but for the first, which is its own end
 * keeper → owner  {"ended":"QEMU","how":"QEMU exited with status 0"}
 * ```
 *
 * Who holds the lifeline owns the machine: the keeper, whose children the machine's processes are, ends when its other end closes.
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { receiveWithDescriptors, sendWithDescriptors } from "../../sys/socket.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import type { Accelerator } from "../hypervisor/accelerator.ts";

/** What goes along with a machine. `mounts` is a tree that propagates into the share; `network` the card's namespace. */
export const DESCRIPTORS = [
  "lifeline",
  "monitor",
  "console",
  "agent",
  "mounts",
  "network",
  "hypervisorProcess",
  "fileServerProcess",
] as const;

export type DescriptorName = (typeof DESCRIPTORS)[number];

export interface MachineOffer {
  readonly kind: "machine";
  /** What the machine is, see `pool-key.ts`. */
  readonly key: string;
  readonly accelerator: Accelerator;
  readonly keeperPid: number;
  readonly hypervisorPid: number;
  readonly fileServerPid: number;
  readonly monitorVersion: string;
  readonly plugged: readonly string[];
}

export type PoolRequest = { readonly do: "claim"; readonly key: string } | { readonly do: "status" };

export interface PoolStatus {
  readonly kind: "status";
  readonly pid: number;
  readonly wanted: number;
  readonly ready: readonly { readonly pid: number; readonly memoryMib: number; readonly vcpus: number }[];
  /** Most memory of all that are ready, MiB; 0 for no limit but the host's. */
  readonly memoryBudgetMib: number;
  readonly building: boolean;
  /** Machines given away, and claims refused, since the start. */
  readonly given: number;
  readonly refused: number;
  /** Why fewer than `wanted` are ready, if something is in the way. */
  readonly obstacle: string;
}

export type PoolAnswer = MachineOffer | { readonly kind: "refused"; readonly reason: string } | PoolStatus;

/** A key has some thousand characters, and nothing else is long. */
const MAX_LINE_BYTES = 64 << 10;

/** Sends a line, with descriptors. */
export async function sendLine(
  stream: FdStream,
  message: PoolRequest | PoolAnswer | { readonly ended: string; readonly how: string },
  descriptors: readonly number[] = [],
): Promise<void> {
  const bytes = utf8Encode(`${JSON.stringify(message)}\n`);
  if (descriptors.length === 0) await stream.write(bytes);
  else await sendWithDescriptors(stream, bytes, descriptors);
}

/**
 * The next line, with what came along; nothing may follow it.
 *
 * @returns undefined at the end of the stream.
 * @throws KataError `oversized-message`, `malformed-message`.
 */
export async function receiveLine(
  stream: FdStream,
): Promise<{ readonly value: unknown; readonly descriptors: readonly FileDescriptor[] } | undefined> {
  const bytes = new Uint8Array(MAX_LINE_BYTES);
  const descriptors: FileDescriptor[] = [];
  try {
    for (let length = 0; ; ) {
      if (length === bytes.length) {
        throw new KataError("oversized-message", {
          operation: "talk to the pool",
          object: `${length} bytes`,
        });
      }
      const received = await receiveWithDescriptors(stream, bytes.subarray(length));
      descriptors.push(...received.descriptors);
      if (received.count === 0) return undefined;
      length += received.count;
      if (bytes[length - 1] !== 10) continue;
      return { value: parse(utf8Decode(bytes.subarray(0, length))), descriptors };
    }
  } catch (error) {
    for (const descriptor of descriptors) descriptor.close();
    throw error;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KataError("malformed-message", {
      operation: "talk to the pool",
      object: JSON.stringify(text.slice(0, 80)),
      cause,
    });
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @returns undefined if `value` is no request. */
export function parseRequest(value: unknown): PoolRequest | undefined {
  if (!isRecord(value)) return undefined;
  if (value.do === "status") return { do: "status" };
  return value.do === "claim" && typeof value.key === "string" ? { do: "claim", key: value.key } : undefined;
}

const ACCELERATORS: readonly string[] = ["kvm", "mshv", "tcg"];

/** @returns undefined if `value` is no offer. */
export function parseOffer(value: unknown): MachineOffer | undefined {
  if (!isRecord(value) || value.kind !== "machine") return undefined;
  const { key, accelerator, keeperPid, hypervisorPid, fileServerPid, monitorVersion, plugged } = value;
  const pids = [keeperPid, hypervisorPid, fileServerPid];
  const isOffer =
    typeof key === "string" &&
    typeof monitorVersion === "string" &&
    ACCELERATORS.includes(String(accelerator)) &&
    pids.every((pid) => Number.isSafeInteger(pid) && Number(pid) > 1) &&
    Array.isArray(plugged);
  if (!isOffer) return undefined;
  return {
    kind: "machine",
    key,
    accelerator: accelerator as Accelerator,
    keeperPid: Number(keeperPid),
    hypervisorPid: Number(hypervisorPid),
    fileServerPid: Number(fileServerPid),
    monitorVersion,
    plugged: plugged.map(String),
  };
}
