/**
 * Limits on swapping that a container has by its annotations: pods of Kubernetes cannot say them in any other way.
 * Source: upstream Kata Containers, docs/how-to/how-to-setup-swap-devices-in-guest-kernel.md, package vcAnnotations.
 */
import { KataError } from "../kata-error.ts";
import type { LinuxMemory, Spec } from "./types.ts";

const SWAPPINESS = "io.katacontainers.container.resource.swappiness";
const SWAP_IN_BYTES = "io.katacontainers.container.resource.swap_in_bytes";
/** Source: Linux Documentation/admin-guide/sysctl/vm.rst, "swappiness". */
const MAX_SWAPPINESS = 200n;
const MAX_BYTES = (1n << 63n) - 1n;

/**
 * `spec` with what its annotations say of swapping as its limits.
 *
 * @throws KataError `invalid-argument` for a value that is no number, or too large.
 */
export function withSwapAnnotations(spec: Spec): Spec {
  const swappiness = numberOf(spec, SWAPPINESS, MAX_SWAPPINESS);
  const swap = numberOf(spec, SWAP_IN_BYTES, MAX_BYTES);
  if (swappiness === undefined && swap === undefined) return spec;
  const memory: LinuxMemory = {
    ...spec.linux?.resources?.memory,
    ...(swappiness === undefined ? {} : { swappiness }),
    ...(swap === undefined ? {} : { swap }),
  };
  return { ...spec, linux: { ...spec.linux, resources: { ...spec.linux?.resources, memory } } };
}

/**
 * How much a container may swap that asks for it by its annotations: what is between the limit on memory and swap together and that on
 * memory; without the one, as much as its memory.
 *
 * @param spec with its annotations as limits.
 * @param otherwise bytes, for a container without limits.
 * @returns bytes; 0 for a container that does not ask.
 */
export function swapBytesOf(spec: Spec, otherwise: number): number {
  if ((numberOf(spec, SWAPPINESS, MAX_SWAPPINESS) ?? 0n) === 0n) return 0;
  const { limit = 0n, swap = 0n } = spec.linux?.resources?.memory ?? {};
  const [memory, together] = [BigInt(limit), BigInt(swap)];
  if (memory <= 0n) return otherwise;
  if (together <= 0n) return Number(memory);
  return together > memory ? Number(together - memory) : 0;
}

function numberOf({ annotations = {} }: Spec, name: string, most: bigint): bigint | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  if (/^\d{1,19}$/.test(text) && BigInt(text) <= most) return BigInt(text);
  throw new KataError("invalid-argument", {
    operation: "read annotation",
    object: `${name} = ${JSON.stringify(text.slice(0, 40))}`,
    hint: `it is a number from 0 to ${most}`,
  });
}
