/** A file or directory of this host as a tar archive, piece by piece. */
import { KataError } from "../../kata-error.ts";
import {
  lstat,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  open,
  read,
  readDirectory,
  readlink,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../sys/files.ts";
import { encodeTarHeader, tarEnd, tarPadding } from "./tar-format.ts";

const CHUNK_BYTES = 64 << 10;
const PERMISSIONS = 0o777;
const MAX_DEPTH = 256;

/**
 * @param path of the file or directory.
 * @param name that it has in the archive.
 * @param onSkipped told of what cannot be copied: sockets, devices, pipes.
 */
export async function* packTree(
  path: string,
  name: string,
  onSkipped: (path: string) => void,
): AsyncGenerator<Uint8Array> {
  yield* packEntry(path, name, onSkipped, 0);
  yield tarEnd();
}

async function* packEntry(
  path: string,
  name: string,
  onSkipped: (path: string) => void,
  depth: number,
): AsyncGenerator<Uint8Array> {
  if (depth > MAX_DEPTH) {
    throw new KataError("out-of-range", {
      operation: "copy into the guest",
      object: path,
      hint: "it is too deep",
    });
  }
  // The first one is what the caller means, a link's target, too.
  const status = lstat(path);
  const common = { mode: status.mode & PERMISSIONS, modifiedAt: status.modifiedAt / 1000 };
  switch (status.mode & S_IFMT) {
    case S_IFDIR:
      yield encodeTarHeader({ ...common, name: `${name}/`, kind: "directory", size: 0, target: "" });
      for (const entry of readDirectory(path)) {
        yield* packEntry(`${path}/${entry.name}`, `${name}/${entry.name}`, onSkipped, depth + 1);
      }
      return;
    case S_IFLNK:
      yield encodeTarHeader({ ...common, name, kind: "symbolic-link", size: 0, target: readlink(path) });
      return;
    case S_IFREG:
      yield* packFile(path, name, common, status.size);
      return;
    default:
      onSkipped(path);
  }
}

/** As long as the file was when it was looked at: one that grows is cut, one that shrinks is filled with zeros. */
async function* packFile(
  path: string,
  name: string,
  common: { readonly mode: number; readonly modifiedAt: number },
  size: number,
): AsyncGenerator<Uint8Array> {
  using file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  yield encodeTarHeader({ ...common, name, kind: "file", size, target: "" });
  for (let left = size; left > 0; ) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, left));
    const count = read(file.fd, chunk);
    const piece = count === 0 ? chunk : chunk.subarray(0, count);
    left -= piece.length;
    yield piece;
  }
  yield tarPadding(size);
}
