/** Layers that are archives, read back from what the writer makes of them, whole and damaged. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { tarHeader, tarOf } from "../policy/genpolicy/testing/image-layout.ts";
import { sourceOf } from "../policy/layers/byte-source.ts";
import { writeLayerDisk } from "../policy/layers/layer-disk.ts";
import { answerRequest } from "./answer-request.ts";
import { ANSWER_HEADER_BYTES, Operation, parseRequest, REQUEST_HEADER_BYTES } from "./fuse-protocol.ts";
import {
  dataBytesOf,
  ROOT_INODE,
  type TarDirectoryEntry,
  TarFilesystem,
  type TarInode,
} from "./tar-filesystem.ts";

const hash = (first: Uint8Array, second: Uint8Array) =>
  createHash("sha256").update(first).update(second).digest();

function layerOf(tar: Uint8Array): Uint8Array {
  const pieces: Buffer[] = [];
  writeLayerDisk(sourceOf(tar), "tar", `sha256:${"0".repeat(64)}`, hash, (piece) =>
    pieces.push(Buffer.from(piece)),
  );
  return Uint8Array.from(Buffer.concat(pieces));
}

const reader = (layer: Uint8Array) => (offset: number, length: number) => {
  if (offset < 0 || length < 0 || offset + length > layer.length) throw new RangeError("beyond the end");
  return Uint8Array.from(layer.subarray(offset, offset + length));
};

function open(layer: Uint8Array): TarFilesystem {
  const read = reader(layer);
  return new TarFilesystem(read, dataBytesOf(read, layer.length));
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (name: string) => new TextEncoder().encode(name);

function inodeAt(tar: TarFilesystem, path: string): TarInode | undefined {
  let inode: TarInode = tar.inode(ROOT_INODE);
  for (const part of path.split("/").filter((step) => step !== "")) {
    const entry = tar.lookUp(inode, bytes(part));
    if (entry === undefined) return undefined;
    inode = tar.inode(entry.inode);
  }
  return inode;
}

describe("a layer that is an archive", () => {
  const layer = layerOf(
    Buffer.concat([
      tarOf({ "a/one": "1", "a/two": "22", b: "" }).subarray(0, -1024),
      tarHeader({ path: "link", type: "2", link: "a/one" }),
      tarHeader({ path: "disk", type: "4", major: 8, minor: 300 }),
      tarHeader({ path: "a/.wh.gone", mode: 0 }),
      tarHeader({ path: "a/.wh..wh..opq", mode: 0 }),
      new Uint8Array(1024),
    ]),
  );

  test("is read back as it was written", () => {
    const tar = open(layer);
    const content = (path: string) => {
      const inode = inodeAt(tar, path);
      if (inode === undefined) return undefined;
      const [offset, length] = tar.content(inode, 0, 1000);
      return text(layer.subarray(offset, offset + length));
    };
    expect(content("a/one")).toBe("1");
    expect(content("a/two")).toBe("22");
    expect(content("b")).toBe("");
    expect(content("c")).toBeUndefined();
    expect(inodeAt(tar, "a")).toMatchObject({ kind: "directory", isOpaque: true });
    expect(inodeAt(tar, "a/gone")).toMatchObject({ kind: "character", major: 0, minor: 0 });
    expect(inodeAt(tar, "disk")).toMatchObject({ kind: "block", major: 8, minor: 300 });
    const link = inodeAt(tar, "link");
    expect(link === undefined ? undefined : tar.target(link)).toBe("a/one");
  });

  test("tells names in parts, however small the room", () => {
    const tar = open(
      layerOf(tarOf(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`file${i}`, "x"])))),
    );
    const names: string[] = [];
    for (let offset = 0; ; ) {
      const answer = ask(tar, Operation.readDirectory, ROOT_INODE, readBody(offset, 100));
      if (answer.length === ANSWER_HEADER_BYTES) break;
      const view = new DataView(answer.buffer);
      for (let at = ANSWER_HEADER_BYTES; at < answer.length; ) {
        const length = view.getUint32(at + 16, true);
        offset = Number(view.getBigUint64(at + 8, true));
        names.push(text(answer.subarray(at + 24, at + 24 + length)));
        at += Math.ceil((24 + length) / 8) * 8;
      }
    }
    expect(names.slice(0, 2)).toEqual([".", ".."]);
    expect(names.length).toBe(52);
    expect(new Set(names).size).toBe(52);
  });

  test("answers for an opaque directory's attribute alone", () => {
    const tar = open(layer);
    const errno = (answer: Uint8Array) => -new DataView(answer.buffer).getInt32(4, true);
    const get = (node: number, name: string, room: number) =>
      ask(tar, Operation.getXattr, node, Buffer.concat([u32(room), u32(0), bytes(`${name}\0`)]));
    const a = inodeAt(tar, "a")?.number ?? 0;
    expect(text(get(a, "trusted.overlay.opaque", 10).subarray(ANSWER_HEADER_BYTES))).toBe("y");
    expect(
      new DataView(get(a, "trusted.overlay.opaque", 0).buffer).getUint32(ANSWER_HEADER_BYTES, true),
    ).toBe(1);
    expect(errno(get(a, "user.x", 10))).toBe(61);
    expect(errno(get(ROOT_INODE, "trusted.overlay.opaque", 10))).toBe(61);
    expect(errno(ask(tar, 999, ROOT_INODE, new Uint8Array(0)))).toBe(38);
    expect(errno(ask(tar, Operation.lookUp, ROOT_INODE, bytes("none\0")))).toBe(2);
    expect(errno(ask(tar, Operation.getAttributes, 9999, new Uint8Array(16)))).toBe(5);
  });

  test("with anything else in its index is an error, and no request brings it down", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: layer.length - 1 }), fc.integer({ min: 0, max: 255 })), {
          maxLength: 40,
        }),
        fc.integer({ min: 0, max: 50 }),
        fc.integer({ min: 0, max: 20 }),
        fc.uint8Array({ maxLength: 60 }),
        (changes, operation, node, body) => {
          const damaged = Uint8Array.from(layer);
          for (const [at, value] of changes) damaged[at] = value;
          let tar: TarFilesystem;
          try {
            tar = open(damaged);
          } catch (error) {
            expect(error instanceof KataError || error instanceof RangeError).toBe(true);
            return;
          }
          const walk = (inode: TarInode, depth: number) => {
            if (depth > 5) return;
            for (let i = 0; i < Math.min(tar.entryCount(inode), 20); i++) {
              const entry: TarDirectoryEntry = tar.entry(inode, i);
              walk(tar.inode(entry.inode), depth + 1);
            }
          };
          try {
            walk(tar.inode(ROOT_INODE), 0);
          } catch (error) {
            expect(error).toMatchObject({ code: "invalid-layer" });
          }
          const request = parseRequest(requestOf(operation, node, body));
          if (request === undefined) throw new Error("no request");
          const answer = answerRequest(tar, request, (offset, into) =>
            into.set(reader(damaged)(offset, into.length)),
          );
          if (answer !== undefined)
            expect(new DataView(answer.buffer).getUint32(0, true)).toBe(answer.length);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

const u32 = (value: number) =>
  Uint8Array.from([value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24]);
const readBody = (offset: number, size: number) =>
  Buffer.concat([new Uint8Array(8), u32(offset), u32(0), u32(size), new Uint8Array(20)]);

function requestOf(operation: number, node: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const request = new Uint8Array(REQUEST_HEADER_BYTES + body.length);
  const view = new DataView(request.buffer);
  view.setUint32(0, request.length, true);
  view.setUint32(4, operation, true);
  view.setBigUint64(16, BigInt(node), true);
  request.set(body, REQUEST_HEADER_BYTES);
  return request;
}

function ask(tar: TarFilesystem, operation: number, node: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const request = parseRequest(requestOf(operation, node, body));
  const answer = request && answerRequest(tar, request, () => undefined);
  if (answer === undefined) throw new Error("no answer");
  return answer;
}
