/**
 * A clone of a saved machine becomes a machine of its own.
 *
 * Every clone wakes up with the same state of the kernel's random generator and at the same moment. Until both are its own nothing
 * else may happen in it. What this agent draws of randomness it draws from the kernel each time, so that it has no state of its own
 * to be cloned.
 */
import { KataError } from "../../kata-error.ts";
import { exists, replaceFile } from "../../sys/files.ts";
import { randomBytes } from "../../sys/random.ts";
import { CLOCK_REALTIME, clockSettime } from "../../sys/time.ts";
import { reseedRandomness } from "./randomness.ts";

export interface MachineIdentity {
  /** Randomness of the host's. */
  readonly seed: Uint8Array;
  /** Since 1970. */
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

/** A generator has 256 bits; what is more costs time and gives nothing. */
const MIN_SEED_BYTES = 32;
const MAX_SEED_BYTES = 512;
const NANOSECONDS = 1_000_000_000;

/** Kept by images that have a system in them; see machine-id(5). */
const MACHINE_ID = "/etc/machine-id";

/** @throws KataError `invalid-argument` for a seed that would not tell this machine from its siblings. */
export function becomeMachine({ seed, seconds, nanoseconds }: MachineIdentity): void {
  if (seed.length < MIN_SEED_BYTES || seed.length > MAX_SEED_BYTES) {
    throw new KataError("invalid-argument", {
      operation: "become a machine of its own",
      object: `seed of ${seed.length} bytes`,
      hint: `a seed has ${MIN_SEED_BYTES} to ${MAX_SEED_BYTES} bytes`,
    });
  }
  if (seconds < 0n || nanoseconds < 0 || nanoseconds >= NANOSECONDS) {
    throw new KataError("invalid-argument", {
      operation: "become a machine of its own",
      object: `time ${seconds} s, ${nanoseconds} ns`,
    });
  }
  reseedRandomness(seed);
  clockSettime(CLOCK_REALTIME, seconds * BigInt(NANOSECONDS) + BigInt(nanoseconds));
  if (exists(MACHINE_ID)) replaceFile(MACHINE_ID, `${hexadecimal(randomBytes(16))}\n`, 0o444);
}

function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
