/**
 * The disk that initdata comes to the guest on: eight bytes `initdata`, the payload's length (64 bits, little-endian), the
 * payload (gzip), zeros up to a whole sector. Source: upstream's runtime and agent.
 */
import { KataError } from "../../kata-error.ts";

const MAGIC = Uint8Array.from("initdata", (letter) => letter.charCodeAt(0));
export const INITDATA_HEADER_BYTES = 16;
const SECTOR = 512;
/** Compressed; what it unpacks to has a bound of its own. */
const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;

/** The disk's content for a compressed payload. */
export function initdataDisk(payload: Uint8Array): Uint8Array {
  const disk = new Uint8Array(Math.ceil((INITDATA_HEADER_BYTES + payload.length) / SECTOR) * SECTOR);
  disk.set(MAGIC);
  new DataView(disk.buffer).setBigUint64(MAGIC.length, BigInt(payload.length), true);
  disk.set(payload, INITDATA_HEADER_BYTES);
  return disk;
}

/**
 * How long the payload is on a disk with this header, bytes; undefined if the disk is another one.
 *
 * @param diskBytes size of the disk, 0 if it is not known.
 * @throws KataError `invalid-initdata` if the length cannot be.
 */
export function payloadLength(header: Uint8Array, diskBytes: number): number | undefined {
  if (header.length < INITDATA_HEADER_BYTES || MAGIC.some((byte, at) => header[at] !== byte))
    return undefined;
  const length = new DataView(header.buffer, header.byteOffset).getBigUint64(MAGIC.length, true);
  const room = diskBytes === 0 ? MAX_PAYLOAD_BYTES : diskBytes - INITDATA_HEADER_BYTES;
  if (length <= BigInt(Math.min(room, MAX_PAYLOAD_BYTES))) return Number(length);
  throw new KataError("invalid-initdata", {
    operation: "read initdata",
    object: "disk",
    hint: `its length of ${length} bytes is more than there is`,
  });
}
