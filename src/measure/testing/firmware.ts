/** A firmware image that has nothing but the tables that a measurement reads, for tests. */
import { guidBytes } from "../snp-firmware.ts";

export interface FirmwareParts {
  /** A multiple of 4096. */
  readonly bytes: number;
  readonly hashTable?: number;
  readonly resetAddress?: number;
  readonly sections?: readonly (readonly [address: number, bytes: number, kind: number])[];
}

export function testFirmware({
  bytes,
  hashTable,
  resetAddress,
  sections,
}: FirmwareParts): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 64) image[at] = (at >> 6) & 0xff;
  const view = new DataView(image.buffer);
  let metadata: number | undefined;
  if (sections !== undefined) {
    const start = bytes - 2048;
    image.set(Buffer.from("ASEV"), start);
    view.setUint32(start + 4, 16 + 12 * sections.length, true);
    view.setUint32(start + 8, 1, true);
    view.setUint32(start + 12, sections.length, true);
    sections.forEach((section, index) => {
      section.forEach((value, field) => {
        view.setUint32(start + 16 + 12 * index + 4 * field, value, true);
      });
    });
    metadata = bytes - start;
  }
  const entries: readonly (readonly [guid: string, value: number | undefined])[] = [
    ["7255371f-3a3b-4b04-927b-1da6efa8d454", hashTable],
    ["00f771de-1a7e-4fcb-890e-68c77e2fb44e", resetAddress],
    ["dc886566-984a-4798-a75e-5585a7bf67cc", metadata],
  ];
  let at = bytes - 32 - 18;
  const footer = at;
  for (const [guid, value] of entries) {
    if (value === undefined) continue;
    image.set(guidBytes(guid), at - 16);
    view.setUint16(at - 18, 22, true);
    view.setUint32(at - 22, value, true);
    at -= 22;
  }
  image.set(guidBytes("96b582de-1fb2-45f7-baea-a366c55a082d"), footer + 2);
  view.setUint16(footer, footer + 18 - at, true);
  return image;
}
