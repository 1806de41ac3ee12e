/**
 * Tar archives as a stream: one header of 512 bytes an entry, its content, zeros up to the next 512.
 * Sources: POSIX pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" (long names, large numbers).
 */
import { KataError } from "../../kata-error.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

export type TarKind = "file" | "directory" | "symbolic-link" | "hard-link" | "other";

export interface TarHeader {
  readonly name: string;
  readonly kind: TarKind;
  /** Permission bits. */
  readonly mode: number;
  /** Bytes of content. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
  /** Of a link. */
  readonly target: string;
}

export const BLOCK_BYTES = 512;
/** Longest name, and longest header of extensions, bytes. */
const MAX_NAME_BYTES = 4096;
const MAX_EXTENSION_BYTES = 64 << 10;
const NAME_FIELD_BYTES = 100;
const LARGEST_OCTAL = 8 ** 11 - 1;

const TYPES: Readonly<Record<string, TarKind>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  "1": "hard-link",
  "2": "symbolic-link",
  "5": "directory",
};

/** What an entry's content goes to. */
export interface TarSink {
  /** Called for each entry, before its content. */
  entry(header: TarHeader): void;
  content(bytes: Uint8Array): void;
  /** The entry is complete. */
  end(): void;
}

/** Reads an archive that comes in pieces; it holds no more than a header. */
export class TarReader {
  readonly #sink: TarSink;
  readonly #block = new Uint8Array(BLOCK_BYTES);
  #filled = 0;
  /** Bytes of content and of the zeros behind it that are still to come. */
  #content = 0;
  #padding = 0;
  #inEntry = false;
  /** An extension that is being read: it is about the entry after it. */
  #extension: { readonly type: string; readonly bytes: Uint8Array; length: number } | undefined;
  #longName: string | undefined;
  #longTarget: string | undefined;
  #longSize: number | undefined;
  /** The end mark has come. */
  #ended = false;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** Whether the archive has come to its end. */
  get isComplete(): boolean {
    return this.#ended;
  }

  /** @throws KataError `malformed-message` for what is no archive; what the sink throws. */
  push(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0 && !this.#ended) {
      if (this.#content > 0) {
        const piece = rest.subarray(0, Math.min(rest.length, this.#content));
        this.#takeContent(piece);
        this.#content -= piece.length;
        rest = rest.subarray(piece.length);
        if (this.#content === 0) this.#endEntry();
      } else if (this.#padding > 0) {
        const skipped = Math.min(rest.length, this.#padding);
        this.#padding -= skipped;
        rest = rest.subarray(skipped);
      } else {
        const piece = rest.subarray(0, Math.min(rest.length, BLOCK_BYTES - this.#filled));
        this.#block.set(piece, this.#filled);
        this.#filled += piece.length;
        rest = rest.subarray(piece.length);
        if (this.#filled === BLOCK_BYTES) {
          this.#filled = 0;
          this.#takeHeader(this.#block);
        }
      }
    }
  }

  #takeContent(piece: Uint8Array): void {
    if (this.#extension === undefined) {
      this.#sink.content(piece);
      return;
    }
    this.#extension.bytes.set(piece, this.#extension.length);
    this.#extension.length += piece.length;
  }

  #takeHeader(block: Uint8Array): void {
    if (block.every((byte) => byte === 0)) {
      this.#ended = true;
      return;
    }
    checkSum(block);
    const type = String.fromCharCode(block[156] ?? 0);
    const size = this.#extensionSize(type) ?? numberIn(block, 124, 12);
    this.#content = size;
    this.#padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
    if (isExtension(type)) {
      if (size > MAX_EXTENSION_BYTES) throw malformed(`an extension of ${size} bytes`);
      this.#extension = { type, bytes: new Uint8Array(size), length: 0 };
    } else {
      this.#sink.entry(this.#headerOf(block, type, size));
      this.#inEntry = true;
      [this.#longName, this.#longTarget, this.#longSize] = [undefined, undefined, undefined];
    }
    if (size === 0) this.#endEntry();
  }

  #extensionSize(type: string): number | undefined {
    return isExtension(type) ? undefined : this.#longSize;
  }

  #headerOf(block: Uint8Array, type: string, size: number): TarHeader {
    const isPosix = textIn(block, 257, 5) === "ustar" && block[262] === 0;
    const prefix = isPosix ? textIn(block, 345, 155) : "";
    const short = textIn(block, 0, NAME_FIELD_BYTES);
    const name = this.#longName ?? (prefix === "" ? short : `${prefix}/${short}`);
    const target = this.#longTarget ?? textIn(block, 157, NAME_FIELD_BYTES);
    if (name.length > MAX_NAME_BYTES || target.length > MAX_NAME_BYTES)
      throw malformed("a name that is too long");
    return {
      name,
      kind: TYPES[type] ?? "other",
      mode: numberIn(block, 100, 8) & 0o7777,
      size,
      modifiedAt: numberIn(block, 136, 12),
      target,
    };
  }

  #endEntry(): void {
    const extension = this.#extension;
    if (extension === undefined) {
      if (this.#inEntry) this.#sink.end();
      this.#inEntry = false;
      return;
    }
    this.#extension = undefined;
    const text = utf8Decode(extension.bytes.subarray(0, extension.length));
    if (extension.type === "L") this.#longName = text.replace(/\0.*$/s, "");
    if (extension.type === "K") this.#longTarget = text.replace(/\0.*$/s, "");
    if (extension.type === "x") this.#takeRecords(extension.bytes.subarray(0, extension.length));
  }

  /** `LENGTH KEY=VALUE` lines; lengths count bytes. */
  #takeRecords(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const [whole = "", digits = ""] = /^(\d{1,6}) /.exec(utf8Decode(bytes.subarray(at, at + 8))) ?? [];
      const length = Number(digits);
      if (whole === "" || length <= whole.length || at + length > bytes.length)
        throw malformed("a pax record");
      const record = utf8Decode(bytes.subarray(at + whole.length, at + length - 1));
      const equals = record.indexOf("=");
      const [key, value] = [record.slice(0, equals), record.slice(equals + 1)];
      if (key === "path") this.#longName = value;
      if (key === "linkpath") this.#longTarget = value;
      if (key === "size") {
        if (!/^\d{1,15}$/.test(value)) throw malformed("a size that is none");
        this.#longSize = Number(value);
      }
      at += length;
    }
  }
}

function isExtension(type: string): boolean {
  return type === "L" || type === "K" || type === "x" || type === "g";
}

function checkSum(block: Uint8Array): void {
  let sum = 0;
  for (let at = 0; at < BLOCK_BYTES; at++) sum += at >= 148 && at < 156 ? 32 : (block[at] ?? 0);
  if (numberIn(block, 148, 8) !== sum) throw malformed("a header whose sum is wrong");
}

/** Octal digits, or with the top bit set a big-endian number. */
function numberIn(block: Uint8Array, at: number, length: number): number {
  if (((block[at] ?? 0) & 0x80) !== 0) {
    let value = (block[at] ?? 0) & 0x7f;
    for (let index = at + 1; index < at + length; index++) {
      value = value * 256 + (block[index] ?? 0);
      if (!Number.isSafeInteger(value)) throw malformed("a number that is too large");
    }
    return value;
  }
  const text = textIn(block, at, length).trim();
  if (!/^[0-7]*$/.test(text)) throw malformed(`the number ${JSON.stringify(text)}`);
  return text === "" ? 0 : Number.parseInt(text, 8);
}

function textIn(block: Uint8Array, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return utf8Decode(end < 0 ? field : field.subarray(0, end));
}

/** The header of an entry, with GNU's extensions before it where a name is long. Owners are root. */
export function encodeTarHeader(header: TarHeader): Uint8Array {
  const extensions = [
    ...longText("L", header.name),
    ...(header.kind === "symbolic-link" ? longText("K", header.target) : []),
  ];
  const types = { file: "0", directory: "5", "symbolic-link": "2", "hard-link": "1", other: "0" };
  const block = headerBlock(header, types[header.kind]);
  return joined([...extensions, block]);
}

/** Two blocks of zeros. */
export function tarEnd(): Uint8Array {
  return new Uint8Array(2 * BLOCK_BYTES);
}

/** The zeros behind `size` bytes of content. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

function longText(type: string, text: string): Uint8Array[] {
  const bytes = utf8Encode(text);
  if (bytes.length <= NAME_FIELD_BYTES) return [];
  const size = bytes.length + 1;
  const header = {
    name: "././@LongLink",
    kind: "other" as const,
    mode: 0o644,
    size,
    modifiedAt: 0,
    target: "",
  };
  const content = new Uint8Array(size + tarPadding(size).length);
  content.set(bytes);
  return [headerBlock(header, type), content];
}

function headerBlock(header: TarHeader, type: string): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string, length: number) =>
    block.set(utf8Encode(text).subarray(0, length), at);
  put(0, header.name, NAME_FIELD_BYTES);
  put(100, octal(header.mode, 8), 8);
  put(108, octal(0, 8), 8);
  put(116, octal(0, 8), 8);
  if (header.size <= LARGEST_OCTAL) {
    put(124, octal(header.size, 12), 12);
  } else {
    block[124] = 0x80;
    new DataView(block.buffer).setBigUint64(128, BigInt(header.size));
  }
  put(136, octal(Math.max(0, Math.min(LARGEST_OCTAL, Math.floor(header.modifiedAt))), 12), 12);
  put(148, "        ", 8);
  put(156, type, 1);
  if (header.kind === "symbolic-link") put(157, header.target, NAME_FIELD_BYTES);
  // GNU's magic: the long names before are its.
  put(257, "ustar  \0", 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `, 8);
  return block;
}

function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, "0")}\0`;
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

function malformed(object: string): KataError {
  return new KataError("malformed-message", { operation: "read tar archive", object });
}
