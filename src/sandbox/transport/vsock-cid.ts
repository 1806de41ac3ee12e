/**
 * A context id for a guest on vsock, claimed by trying: the kernel refuses one that another guest has.
 * Source: vsock(7); Linux include/uapi/linux/vhost.h.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDWR, open } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";

export interface VsockClaim {
  /** Keeps the claim as long as it is open. */
  readonly descriptor: FileDescriptor;
  readonly cid: number;
}

const DEVICE = "/dev/vhost-vsock";
const VHOST_VSOCK_SET_GUEST_CID = 0x4008af60;
/** 0 to 2 are the hypervisor, loopback and the host; 2^32 − 1 is any. */
const FIRST_CID = 3;
const CID_COUNT = 0xffff_ffff - FIRST_CID;
/** Of four thousand million ids, even a million guests leave the first try free. */
const MAX_TRIES = 64;

/** @returns undefined if the host has no vsock for guests. */
export function claimVsock(): VsockClaim | undefined {
  let descriptor: FileDescriptor;
  try {
    descriptor = open(DEVICE, O_RDWR);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV", "ENXIO", "EACCES", "EPERM")) return undefined;
    throw error;
  }
  try {
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const random = new Uint32Array(1);
      check(kernel().syscall("getrandom", random, 4, 0), "choose vsock id", DEVICE);
      const cid = FIRST_CID + ((random[0] ?? 0) % CID_COUNT);
      const result = kernel().syscall(
        "ioctl",
        descriptor.fd,
        VHOST_VSOCK_SET_GUEST_CID,
        new BigUint64Array([BigInt(cid)]),
      );
      if (result === 0) return { descriptor, cid };
      if (result !== -98 /* EADDRINUSE */) check(result, "claim vsock id", DEVICE);
    }
    throw new KataError("resource-exhausted", { operation: "claim vsock id", object: DEVICE });
  } catch (error) {
    descriptor.close();
    throw error;
  }
}
