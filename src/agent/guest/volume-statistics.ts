/** How full a volume is. Source: statfs(2); the Container Storage Interface's VolumeUsage. */
import { statfs } from "../../sys/files.ts";

export interface VolumeUsage {
  readonly unit: "bytes" | "inodes";
  readonly total: number;
  readonly available: number;
  readonly used: number;
}

export function volumeUsage(path: string): VolumeUsage[] {
  const status = statfs(path);
  return [
    {
      unit: "bytes",
      total: status.blocks * status.blockSize,
      available: status.availableBlocks * status.blockSize,
      used: (status.blocks - status.freeBlocks) * status.blockSize,
    },
    {
      unit: "inodes",
      total: status.files,
      available: status.freeFiles,
      used: status.files - status.freeFiles,
    },
  ];
}
