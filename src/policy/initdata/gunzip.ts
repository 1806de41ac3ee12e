/**
 * Decompression for an engine without it: initdata travels compressed. Sources: RFC 1952 (gzip), RFC 1951 (deflate).
 *
 * The bytes come from the host: every length is checked, and the output has a bound.
 */
import { crc32 } from "../../crypto/crc32.ts";
import { KataError } from "../../kata-error.ts";

const MAX_BITS = 15;
/** Base lengths and distances of symbols, and their extra bits. Source: RFC 1951, 3.2.5. */
const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
  227, 258,
];
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097,
  6145, 8193, 12289, 16385, 24577,
];
const DISTANCE_EXTRA = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
/** The order in which the lengths of code-length codes are given. Source: RFC 1951, 3.2.7. */
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

const GZIP_HEADER = 10;
const GZIP_TRAILER = 8;
const FLAG_CHECKSUM = 2;
const FLAG_EXTRA = 4;
const FLAG_NAME = 8;
const FLAG_COMMENT = 16;
const FLAG_RESERVED = 0xe0;

function corrupt(why: string): KataError {
  return new KataError("corrupt-data", { operation: "decompress", object: "gzip data", hint: why });
}

/**
 * The content of a gzip member.
 *
 * @param maxBytes of the content.
 * @throws KataError `corrupt-data`, also if a checksum is wrong, the content is too large or anything follows.
 */
export function gunzip(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const start = headerLength(bytes);
  const end = bytes.length - GZIP_TRAILER;
  if (end < start) throw corrupt("it ends too early");
  const trailer = new DataView(bytes.buffer, bytes.byteOffset + end, GZIP_TRAILER);
  const size = trailer.getUint32(4, true);
  if (size > maxBytes) throw corrupt(`it holds ${size} bytes; at most ${maxBytes} are taken`);
  const output = new Uint8Array(size);
  const inflater = new Inflater(bytes.subarray(start, end), output);
  inflater.run();
  if (crc32(output) !== trailer.getUint32(0, true)) throw corrupt("its checksum is wrong");
  return output;
}

function headerLength(bytes: Uint8Array): number {
  if (bytes.length < GZIP_HEADER || bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes[2] !== 8) {
    throw corrupt("it does not begin as gzip does");
  }
  const flags = bytes[3] ?? 0;
  if ((flags & FLAG_RESERVED) !== 0) throw corrupt("it has unknown flags");
  let at = GZIP_HEADER;
  if (flags & FLAG_EXTRA) at += 2 + ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8));
  for (const flag of [FLAG_NAME, FLAG_COMMENT]) {
    if ((flags & flag) === 0) continue;
    const end = bytes.indexOf(0, at);
    if (end < 0) throw corrupt("its header has no end");
    at = end + 1;
  }
  return flags & FLAG_CHECKSUM ? at + 2 : at;
}

/** A Huffman code: the number of codes of each length, and the symbols in the order of their codes. */
interface Code {
  readonly counts: Uint16Array;
  readonly symbols: Uint16Array;
}

function codeOf(lengths: readonly number[]): Code {
  const counts = new Uint16Array(MAX_BITS + 1);
  for (const length of lengths) counts[length] = (counts[length] ?? 0) + 1;
  counts[0] = 0;
  let left = 1;
  const offsets = new Uint16Array(MAX_BITS + 2);
  for (let length = 1; length <= MAX_BITS; length++) {
    left = (left << 1) - (counts[length] ?? 0);
    if (left < 0) throw corrupt("a code has too many symbols");
    offsets[length + 1] = (offsets[length] ?? 0) + (counts[length] ?? 0);
  }
  const symbols = new Uint16Array(lengths.length);
  lengths.forEach((length, symbol) => {
    if (length === 0) return;
    const offset = offsets[length] ?? 0;
    symbols[offset] = symbol;
    offsets[length] = offset + 1;
  });
  return { counts, symbols };
}

let fixedCodes: { readonly literals: Code; readonly distances: Code } | undefined;

function fixed(): { readonly literals: Code; readonly distances: Code } {
  fixedCodes ??= {
    literals: codeOf(Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8))),
    distances: codeOf(new Array<number>(30).fill(5)),
  };
  return fixedCodes;
}

class Inflater {
  private readonly input: Uint8Array;
  private readonly output: Uint8Array;
  private at = 0;
  private held = 0;
  private heldBits = 0;
  private written = 0;

  constructor(input: Uint8Array, output: Uint8Array) {
    this.input = input;
    this.output = output;
  }

  run(): void {
    for (let isLast = false; !isLast; ) {
      isLast = this.bits(1) === 1;
      const kind = this.bits(2);
      if (kind === 0) this.stored();
      else if (kind === 1) this.compressed(fixed().literals, fixed().distances);
      else if (kind === 2) this.dynamic();
      else throw corrupt("a block is of no known kind");
    }
    if (this.written !== this.output.length) throw corrupt("it is shorter than it says");
    if (this.at !== this.input.length) throw corrupt("something follows its end");
  }

  private bits(count: number): number {
    while (this.heldBits < count) {
      const byte = this.input[this.at++];
      if (byte === undefined) throw corrupt("it ends too early");
      this.held |= byte << this.heldBits;
      this.heldBits += 8;
    }
    const value = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.heldBits -= count;
    return value;
  }

  private symbol(code: Code): number {
    let value = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= MAX_BITS; length++) {
      value |= this.bits(1);
      const count = code.counts[length] ?? 0;
      if (value - first < count) return code.symbols[index + value - first] ?? 0;
      index += count;
      first = (first + count) << 1;
      value <<= 1;
    }
    throw corrupt("a code stands for no symbol");
  }

  private stored(): void {
    this.held = 0;
    this.heldBits = 0;
    const { input, at } = this;
    const length = (input[at] ?? 0) | ((input[at + 1] ?? 0) << 8);
    const inverse = (input[at + 2] ?? 0) | ((input[at + 3] ?? 0) << 8);
    const end = at + 4 + length;
    if (length !== (~inverse & 0xffff) || end > input.length) throw corrupt("a stored block is cut off");
    this.room(length);
    this.output.set(input.subarray(at + 4, end), this.written);
    this.written += length;
    this.at = end;
  }

  private dynamic(): void {
    const literals = this.bits(5) + 257;
    const distances = this.bits(5) + 1;
    const lengthCodes = this.bits(4) + 4;
    if (literals > 286 || distances > 30) throw corrupt("a block has too many codes");
    const short = new Array<number>(CODE_LENGTH_ORDER.length).fill(0);
    for (const place of CODE_LENGTH_ORDER.slice(0, lengthCodes)) short[place] = this.bits(3);
    const code = codeOf(short);
    const lengths: number[] = [];
    while (lengths.length < literals + distances) {
      const symbol = this.symbol(code);
      if (symbol < 16) {
        lengths.push(symbol);
        continue;
      }
      const last = lengths.at(-1);
      if (symbol === 16 && last === undefined) throw corrupt("a length repeats nothing");
      const repeat = symbol === 16 ? 3 + this.bits(2) : symbol === 17 ? 3 + this.bits(3) : 11 + this.bits(7);
      const value = symbol === 16 ? (last ?? 0) : 0;
      for (let i = 0; i < repeat; i++) lengths.push(value);
    }
    if (lengths.length !== literals + distances) throw corrupt("a length repeats too often");
    this.compressed(codeOf(lengths.slice(0, literals)), codeOf(lengths.slice(literals)));
  }

  private compressed(literals: Code, distances: Code): void {
    for (;;) {
      const symbol = this.symbol(literals);
      if (symbol < 256) {
        this.room(1);
        this.output[this.written++] = symbol;
      } else if (symbol === 256) {
        return;
      } else {
        this.copy(symbol - 257, distances);
      }
    }
  }

  private copy(lengthSymbol: number, distances: Code): void {
    const base = LENGTH_BASE[lengthSymbol];
    if (base === undefined) throw corrupt("a length is of no known kind");
    const length = base + this.bits(LENGTH_EXTRA[lengthSymbol] ?? 0);
    const distanceSymbol = this.symbol(distances);
    const distanceBase = DISTANCE_BASE[distanceSymbol];
    if (distanceBase === undefined) throw corrupt("a distance is of no known kind");
    const distance = distanceBase + this.bits(DISTANCE_EXTRA[distanceSymbol] ?? 0);
    if (distance > this.written) throw corrupt("a distance reaches before the beginning");
    this.room(length);
    const { output } = this;
    if (distance >= length) {
      output.copyWithin(this.written, this.written - distance, this.written - distance + length);
      this.written += length;
      return;
    }
    // What is copied overlaps what is written: bytes repeat.
    for (let i = 0; i < length; i++, this.written++) {
      output[this.written] = output[this.written - distance] ?? 0;
    }
  }

  private room(length: number): void {
    if (this.written + length > this.output.length) throw corrupt("it is longer than it says");
  }
}
