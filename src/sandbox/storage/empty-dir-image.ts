/** An empty volume that is a disk: a file in the volume's directory, which Kubernetes counts and removes with the volume. */
import {
  ftruncate,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  open,
  statfs,
  statIfExists,
} from "../../sys/files.ts";

/** The file's name; upstream's. */
const IMAGE = "disk.img";

/** The file, which is made as large as the host's file system and full of holes: its real size is what is in it. */
export function emptyDirImage(directory: string): string {
  const path = `${directory}/${IMAGE}`;
  if (statIfExists(path) !== undefined) return path;
  const { blocks, blockSize } = statfs(directory);
  using file = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  ftruncate(file.fd, blocks * blockSize);
  return path;
}
