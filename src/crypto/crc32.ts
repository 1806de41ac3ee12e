/** Cyclic redundancy checks of 32 bits. Sources: RFC 1952, section 8 (CRC-32); RFC 9260, appendix A (CRC-32C). */

const IEEE = 0xedb88320;
const CASTAGNOLI = 0x82f63b78;
const tables = new Map<number, Int32Array>();

function tableOf(polynomial: number): Int32Array {
  const known = tables.get(polynomial);
  if (known !== undefined) return known;
  const table = Int32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    return value;
  });
  tables.set(polynomial, table);
  return table;
}

function register(bytes: Uint8Array, polynomial: number): number {
  const table = tableOf(polynomial);
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  }
  return crc;
}

/** The check that gzip, zip and GUID partition tables have. */
export function crc32(bytes: Uint8Array): number {
  return ~register(bytes, IEEE) >>> 0;
}

/** The check that iSCSI, SCTP and Linux file systems have. */
export function crc32c(bytes: Uint8Array): number {
  return ~register(bytes, CASTAGNOLI) >>> 0;
}
