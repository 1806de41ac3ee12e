import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { vmlinuxOf } from "./bz-image.ts";
import { elfArchitecture, elfSections, elfSegments } from "./elf.ts";
import { readModuleInfo, withoutSignature } from "./module-info.ts";

const PT_LOAD = 1;
const PT_NOTE = 4;

interface Segment {
  readonly type: number;
  readonly content: readonly number[];
}

/** A 64-bit ELF file for x86_64 with these segments, and sections if there are any. Source: elf(5). */
function elf(
  segments: readonly Segment[],
  sections: readonly (readonly [string, Uint8Array])[] = [],
): Uint8Array {
  const named: (readonly [string, Uint8Array])[] =
    sections.length === 0 ? [] : [["", new Uint8Array()], ...sections, [".shstrtab", new Uint8Array()]];
  const names = new TextEncoder().encode(named.map(([name]) => `${name}\0`).join(""));
  const contents = named.map(([name, content]) => (name === ".shstrtab" ? names : content));
  let end = 64 + 56 * segments.length;
  const place = ({ length }: { readonly length: number }) => {
    end += length;
    return end - length;
  };
  const segmentOffsets = segments.map(({ content }) => place(content));
  const sectionOffsets = contents.map(place);
  const table = end;
  const file = new Uint8Array(table + 64 * named.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(0x10, 2, true);
  view.setUint16(0x12, 62, true);
  view.setBigUint64(0x20, 64n, true);
  view.setBigUint64(0x28, BigInt(named.length === 0 ? 0 : table), true);
  view.setUint16(0x36, 56, true);
  view.setUint16(0x38, segments.length, true);
  view.setUint16(0x3c, named.length, true);
  view.setUint16(0x3e, Math.max(named.length - 1, 0), true);
  for (const [index, { type, content }] of segments.entries()) {
    const header = 64 + 56 * index;
    const offset = segmentOffsets[index] ?? 0;
    view.setUint32(header, type, true);
    view.setBigUint64(header + 8, BigInt(offset), true);
    view.setBigUint64(header + 32, BigInt(content.length), true);
    file.set(content, offset);
  }
  let name = 0;
  for (const [index, [text]] of named.entries()) {
    const header = table + 64 * index;
    const content = contents[index] ?? new Uint8Array();
    view.setUint32(header, name, true);
    view.setUint32(header + 4, 1, true);
    view.setBigUint64(header + 24, BigInt(sectionOffsets[index] ?? 0), true);
    view.setBigUint64(header + 32, BigInt(content.length), true);
    file.set(content, sectionOffsets[index] ?? 0);
    name += text.length + 1;
  }
  return file;
}

/** Note "Xen" of `type` with four bytes. */
function note(type: number): number[] {
  return [4, 0, 0, 0, 4, 0, 0, 0, type, 0, 0, 0, 0x58, 0x65, 0x6e, 0, 1, 2, 3, 4];
}

/** A bzImage around `payload`: one setup sector after the boot sector. Source: Linux, arch/x86/boot.rst. */
function bzImage(payload: Uint8Array): Uint8Array {
  const image = new Uint8Array(2 * 512 + payload.length);
  const view = new DataView(image.buffer);
  image[0x1f1] = 1;
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint32(0x248, 0, true);
  view.setUint32(0x24c, payload.length, true);
  image.set(payload, 1024);
  return image;
}

const KERNEL = elf(
  [
    { type: PT_LOAD, content: [1, 2, 3, 0, 0, 0, 0, 0] },
    { type: PT_NOTE, content: [...note(1), ...note(18)] },
  ],
  [[".text", new Uint8Array(100)]],
);

describe("vmlinuxOf", () => {
  test("unpacks a gzip'ed kernel and leaves only what is loaded", () => {
    const kernel = vmlinuxOf(bzImage(gzipSync(KERNEL)));
    // The file header, two program headers, and the three bytes of the first segment that are not zero anyway.
    expect(kernel?.length).toBe(64 + 2 * 56 + 3);
    const view = new DataView(kernel?.buffer ?? new ArrayBuffer(0));
    expect(view.getBigUint64(0x28, true)).toBe(0n);
    expect(view.getUint16(0x3c, true)).toBe(0);
    expect(view.getBigUint64(64 + 32, true)).toBe(3n);
    expect([...(kernel?.subarray(-3) ?? [])]).toEqual([1, 2, 3]);
  });

  test("gives nothing for a kernel without a PVH entry or of an unknown packing", () => {
    const plain = elf([
      { type: PT_LOAD, content: [1] },
      { type: PT_NOTE, content: note(1) },
    ]);
    expect(vmlinuxOf(bzImage(gzipSync(plain)))).toBeUndefined();
    expect(vmlinuxOf(bzImage(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0)))).toBeUndefined();
  });

  test("refuses what is no bzImage, and one whose payload goes beyond its end", () => {
    expect(() => vmlinuxOf(new Uint8Array(2000))).toThrow(/no boot header/);
    const cut = bzImage(gzipSync(KERNEL)).subarray(0, 1030);
    expect(() => vmlinuxOf(cut)).toThrow(/beyond its end/);
  });
});

describe("an ELF file", () => {
  test("tells its architecture, segments and sections", () => {
    expect(elfArchitecture(KERNEL, "k")).toBe("amd64");
    expect(elfSegments(KERNEL, "k").map(({ type, size }) => [type, size])).toEqual([
      [PT_LOAD, 8],
      [PT_NOTE, 40],
    ]);
    expect(elfSections(KERNEL, "k").map(({ name, content }) => [name, content.length])).toEqual([
      ["", 0],
      [".text", 100],
      [".shstrtab", 17],
    ]);
  });

  test("with any byte changed or cut off is read or refused, never more", () => {
    const damaged = fc
      .tuple(
        fc.nat(KERNEL.length),
        fc.array(fc.tuple(fc.nat(KERNEL.length - 1), fc.nat(255)), { maxLength: 4 }),
      )
      .map(([length, changes]) => {
        const copy = KERNEL.slice();
        for (const [at, value] of changes) copy[at] = value;
        return copy.subarray(0, length);
      });
    fc.assert(
      fc.property(damaged, (data) => {
        for (const reader of [elfSegments, elfSections, readModuleInfo]) {
          try {
            reader(data, "file");
          } catch (error) {
            expect(error).toBeInstanceOf(KataError);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a kernel module", () => {
  const info = (text: string) => elf([], [[".modinfo", new TextEncoder().encode(text)]]);

  test("tells its name and what it needs, in the kernel's spelling", () => {
    const text =
      "license=GPL\0name=virtio-blk\0depends=virtio-ring,virtio\0softdep=pre: crc32c b post: c\0alias=block-major-8\0alias=virtio:d00000002v*\0";
    expect(readModuleInfo(info(text), "x.ko")).toEqual({
      name: "virtio_blk",
      depends: ["virtio_ring", "virtio"],
      softDependencies: ["crc32c", "b"],
      aliases: ["block_major_8"],
    });
  });

  test("without a name is refused", () => {
    expect(() => readModuleInfo(info("license=GPL\0depends=\0"), "x.ko")).toThrow(/x\.ko says no name/);
  });

  test("loses the signature that is appended to it, and nothing else", () => {
    const module = Uint8Array.of(1, 2, 3);
    const magic = new TextEncoder().encode("~Module signature appended~\n");
    const trailer = new Uint8Array(12);
    new DataView(trailer.buffer).setUint32(8, 5);
    const signed = Uint8Array.from([...module, 9, 9, 9, 9, 9, ...trailer, ...magic]);
    expect(withoutSignature(signed)).toEqual(module);
    expect(withoutSignature(module)).toEqual(module);
  });
});
