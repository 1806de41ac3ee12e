/** The guest's answer about a volume, checked: it is a guest's. */
import { KataError } from "../../kata-error.ts";
import { type VolumeStatsResponse, VolumeUnit } from "../generated.ts";
import type { VolumeStatistics } from "../types.ts";

/** Most kinds of usage in one answer; there are two. */
const MAX_USAGES = 16;
/** Longest sentence about a volume that is passed on, characters. */
const MAX_MESSAGE = 1024;

/** @throws KataError `malformed-message` for an answer with more in it than there is to say. */
export function volumeStatistics({ usage, volumeCondition }: VolumeStatsResponse): VolumeStatistics {
  if (usage.length > MAX_USAGES) {
    throw new KataError("malformed-message", {
      operation: "read volume statistics",
      object: `${usage.length} kinds of usage`,
    });
  }
  return {
    usage: usage.flatMap(({ unit, total, available, used }) => {
      if (unit !== VolumeUnit.BYTES && unit !== VolumeUnit.INODES) return [];
      return [{ unit: unit === VolumeUnit.BYTES ? "bytes" : "inodes", total, available, used } as const];
    }),
    condition: {
      abnormal: volumeCondition?.abnormal ?? false,
      message: (volumeCondition?.message ?? "").slice(0, MAX_MESSAGE),
    },
  };
}
