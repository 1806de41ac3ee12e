/**
 * Firecracker's own limits: buckets of bytes and of operations that are filled at a steady rate.
 * Source: Firecracker, src/vmm/src/rate_limiter (a bucket that is empty is full again after `refill_time`).
 */
import type { DiskRates } from "../types.ts";
import type { RateLimiter, TokenBucket } from "./api-client.ts";

/** A second: a bucket's size is what passes in one. */
const REFILL_MS = 1000;
const BITS = 8;

/** @returns undefined without any limit. */
export function diskLimiter(rates: DiskRates | undefined): RateLimiter | undefined {
  if (rates === undefined) return undefined;
  return limiter(
    bucket(rates.bandwidth / BITS, rates.bandwidthBurst / BITS),
    bucket(rates.operations, rates.operationsBurst),
  );
}

/** @param bitsPerSecond 0 is without limit. */
export function bandwidthLimiter(bitsPerSecond: number): RateLimiter | undefined {
  return limiter(bucket(bitsPerSecond / BITS, 0), undefined);
}

function limiter(bandwidth: TokenBucket | undefined, ops: TokenBucket | undefined): RateLimiter | undefined {
  if (bandwidth === undefined && ops === undefined) return undefined;
  return { ...(bandwidth === undefined ? {} : { bandwidth }), ...(ops === undefined ? {} : { ops }) };
}

function bucket(perSecond: number, burst: number): TokenBucket | undefined {
  if (perSecond <= 0) return undefined;
  return {
    // A bucket of none would be no limit at all.
    size: Math.max(1, Math.floor(perSecond)),
    ...(burst > 0 ? { one_time_burst: Math.floor(burst) } : {}),
    refill_time: REFILL_MS,
  };
}
