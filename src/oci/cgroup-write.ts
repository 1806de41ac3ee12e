/** What limits come down to: texts that are written to files of a cgroup. */
import { KataError } from "../kata-error.ts";
import type { Int64 } from "./types.ts";

/** One write(2). Writes are made in the order in which they come. */
export interface CgroupWrite {
  /** `memory`, `cpu`, …: the hierarchy (version 1), or what has to be enabled in the parent (version 2). */
  readonly controller: string;
  readonly file: string;
  readonly value: string;
  /** What to write instead if the kernel has no such file. */
  readonly otherwise?: CgroupWrite;
  /** It is no error if the file does not exist: without it there is nothing to limit, or the kernel gave the limit up. */
  readonly optional?: true;
}

export function invalidLimit(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read resource limits", object, hint });
}

/** A limit that is set at all: zero and absent leave what is there. */
export function given(value: Int64 | undefined): value is Int64 {
  return value !== undefined && BigInt(value) !== 0n;
}

export function isUnlimited(value: Int64): boolean {
  return BigInt(value) < 0n;
}

/** Text of a limit that may be `max`. */
export function limitText(value: Int64): string {
  return isUnlimited(value) ? "max" : String(value);
}

/** Weight of block I/O, as the specification bounds it. @throws KataError `invalid-argument`. */
export function checkBlockWeight(weight: number): number {
  if (weight >= 10 && weight <= 1000) return weight;
  throw invalidLimit(`blockIO weight ${weight}`, "it is 10 to 1000");
}

/** `64KB`, `2MB`, `1GB`: a name of a file is made of it. @throws KataError `invalid-argument`. */
export function checkPageSize(pageSize: string): string {
  if (/^[1-9]\d{0,9}[KMG]B$/.test(pageSize)) return pageSize;
  throw invalidLimit(`huge page size ${JSON.stringify(pageSize.slice(0, 40))}`, "it is a size such as 2MB");
}

/** A list of CPUs or memory nodes: `0-3,7`. @throws KataError `invalid-argument`. */
export function checkNumberList(what: string, list: string): string {
  if (/^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/.test(list) && list.length < 4096) return list;
  throw invalidLimit(`${what} ${JSON.stringify(list.slice(0, 80))}`, "it is a list such as 0-3,7");
}

/** A name of a network interface or RDMA device, which goes into a line. @throws KataError `invalid-argument`. */
export function checkDeviceName(name: string): string {
  if (/^[^\s/]{1,64}$/.test(name)) return name;
  throw invalidLimit(
    `device ${JSON.stringify(name.slice(0, 80))}`,
    "its name has up to 64 characters and no white space",
  );
}

/** The pids limit as text. What is not positive has always meant "no limit" to the writers of specs. */
export function pidsText(limit: Int64): string {
  return BigInt(limit) > 0n ? String(limit) : "max";
}

/** One write for each RDMA device; both versions have the same file. */
export function rdmaWrites(
  rdma: Readonly<Record<string, { hcaHandles?: number; hcaObjects?: number }>>,
): CgroupWrite[] {
  return Object.entries(rdma).map(([device, { hcaHandles, hcaObjects }]) => ({
    controller: "rdma",
    file: "rdma.max",
    value: [
      checkDeviceName(device),
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ].join(" "),
  }));
}
