/**
 * Becoming the container's user: bounding set, ids, capabilities, no_new_privs and the seccomp filter, in the one order
 * in which each step still has the privilege that it needs.
 * Sources: capabilities(7), "Effect of user ID changes on capabilities"; runtime-spec, "Process".
 */
import { splitCapabilityMask } from "../../oci/capabilities.ts";
import { EINVAL } from "../../sys/errno.ts";
import { check, kernel } from "../../sys/kernel.ts";
import {
  capset,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_SET_KEEPCAPS,
  PR_SET_NO_NEW_PRIVS,
  prctl,
  setgroups,
  setIds,
} from "../../sys/process.ts";

/** Who a process is to be. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** Capability sets: bit n is capability n. */
  readonly bounding: bigint;
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
  readonly ambient: bigint;
  readonly noNewPrivileges: boolean;
}

/**
 * Makes the calling process what `credentials` says.
 *
 * @param loadFilter loads the seccomp filter. Without no_new_privs it runs while the process still has CAP_SYS_ADMIN;
 * with it the caller loads the filter itself, as the last thing before execve.
 */
export function becomeUser(credentials: Credentials, loadFilter: () => void): void {
  const held = limitBoundingSet(credentials.bounding);
  prctl(PR_SET_KEEPCAPS, 1);
  setgroups(credentials.additionalGids);
  setIds(credentials.uid, credentials.gid);
  if (credentials.noNewPrivileges) {
    prctl(PR_SET_NO_NEW_PRIVS, 1);
  } else {
    // Leaving uid 0 emptied the effective set; the permitted one was kept.
    if (credentials.uid !== 0) raiseEffective();
    loadFilter();
  }
  // The kernel refuses a set with more than it had: what this machine does not grant is left out.
  const permitted = credentials.permitted & held;
  capset({
    effective: credentials.effective & permitted,
    permitted,
    // The 2022-29162 class: an inheritable set that nobody asked for stays empty.
    inheritable: credentials.inheritable & held,
  });
  raiseAmbient(credentials.ambient & permitted & credentials.inheritable);
}

/** Drops what is not in `bounding`. @returns the process's permitted set. */
function limitBoundingSet(bounding: bigint): bigint {
  const [low, high] = splitCapabilityMask(bounding);
  if (dropCapabilities(low, 0)) dropCapabilities(high, 32);
  return capabilities();
}

/** Drops the 32 capabilities from `first` on that are not in `kept`. @returns false at the end of those that the kernel knows. */
function dropCapabilities(kept: number, first: number): boolean {
  const calls = kernel();
  for (let bit = 0; bit < 32; bit++) {
    if ((kept >>> bit) & 1) continue;
    const result = calls.syscall("prctl", PR_CAPBSET_DROP, first + bit, 0, 0, 0);
    if (result === 0) continue;
    if (result === -EINVAL) return false;
    check(result, "drop from bounding set", `capability ${first + bit}`);
  }
  return true;
}

/** struct __user_cap_header_struct, version 3. */
const CAPABILITY_HEADER = [0x20080522, 0] as const;

/** The permitted set of this process. */
function capabilities(): bigint {
  const data = new Uint32Array(6);
  kernel().syscall("capget", new Uint32Array(CAPABILITY_HEADER), data);
  return BigInt(data[1] ?? 0) | (BigInt(data[4] ?? 0) << 32n);
}

function raiseEffective(): void {
  const permitted = capabilities();
  capset({ effective: permitted, permitted, inheritable: 0n });
}

function raiseAmbient(ambient: bigint): void {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  for (let capability = 0; ambient >> BigInt(capability) > 0n; capability++) {
    if (ambient & (1n << BigInt(capability))) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability);
  }
}
