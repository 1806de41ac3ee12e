/**
 * Layers of images as disks that the kernel checks: the storage's options tell the root hash, which a policy binds; the disk's own
 * last sector tells where its hashes are. The disk is the host's: a wrong number there is a disk that cannot be read.
 * Source: Microsoft's fork of Kata Containers 3.2.0.azl5, agent and tardev-snapshotter, facts only.
 */
import { KataError } from "../../kata-error.ts";
import { O_RDONLY, open, read } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { parseVerityInfo, type VerityInfo } from "./verity-device.ts";

const ROOT_HASH = "io.katacontainers.fs-opt.root-hash";
const SECTOR_BYTES = 512;
const SEEK_SET = 0;
const SEEK_END = 2;
const SALT = "00".repeat(32);

/** The root hash that a storage's options bind it to; undefined for none. @throws KataError `invalid-argument` for several, or none of SHA-256. */
export function layerRootHash(options: readonly string[]): string | undefined {
  const hashes = options
    .filter((option) => option.startsWith(`${ROOT_HASH}=`))
    .map((option) => option.slice(ROOT_HASH.length + 1));
  const [hash, ...others] = hashes;
  if (hash === undefined) return undefined;
  if (others.length === 0 && /^[0-9a-f]{64}$/.test(hash)) return hash;
  throw new KataError("invalid-argument", {
    operation: "verify layer",
    object: JSON.stringify(hashes.join(" ").slice(0, 200)),
    hint: `${ROOT_HASH} is 64 hexadecimal digits, once`,
  });
}

/** What dm-verity is to be told of the layer on the disk at `node`. @throws KataError `invalid-layer` unless the disk tells it. */
export function layerVerity(node: string, rootHash: string): VerityInfo {
  const refuse = (why: string) =>
    new KataError("invalid-layer", {
      operation: "verify layer",
      object: `${node}: ${why}`,
      hint: "its last sector has to tell block sizes and blocks; let the snapshotter make the layer again",
    });
  using disk = open(node, O_RDONLY);
  const size = check(kernel().syscall("lseek", disk.fd, 0, SEEK_END), "measure layer", node);
  if (size < 2 * SECTOR_BYTES) throw refuse(`it has ${size} bytes`);
  check(kernel().syscall("lseek", disk.fd, size - SECTOR_BYTES, SEEK_SET), "read layer", node);
  const sector = new Uint8Array(SECTOR_BYTES);
  if (read(disk.fd, sector) !== SECTOR_BYTES) throw refuse("it ends early");
  const view = new DataView(sector.buffer);
  const blockBytes = view.getUint32(0, true);
  const hashBlockBytes = view.getUint32(4, true);
  const blocks = Number(view.getBigUint64(8, true));
  const dataBytes = blocks * blockBytes;
  if (blocks === 0 || dataBytes >= size) throw refuse(`${blocks} blocks of ${blockBytes} bytes in ${size}`);
  try {
    return parseVerityInfo(
      JSON.stringify({
        hashtype: "sha256",
        hash: rootHash,
        salt: SALT,
        blocknum: blocks,
        blocksize: blockBytes,
        hashsize: hashBlockBytes,
        offset: dataBytes,
      }),
    );
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    throw refuse(`block sizes ${blockBytes} and ${hashBlockBytes}`);
  }
}
