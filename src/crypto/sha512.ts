/** SHA-512 and SHA-384. Source: FIPS 180-4. */

const BLOCK = 128;

/** The message with its length, to whole blocks. */
function padded(message: Uint8Array): DataView {
  const bytes = new Uint8Array(Math.ceil((message.length + 17) / BLOCK) * BLOCK);
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(bytes.length - 8, BigInt(message.length) * 8n);
  return view;
}

const MASK_64 = 0xffff_ffff_ffff_ffffn;

/** The first 64 bits of the fraction of the `1/power` root of each of the first `count` primes. */
function primeRoots(count: number, power: 2n | 3n): bigint[] {
  const roots: bigint[] = [];
  for (let candidate = 2n; roots.length < count; candidate++) {
    let isPrime = true;
    for (let divisor = 2n; divisor * divisor <= candidate; divisor++)
      if (candidate % divisor === 0n) isPrime = false;
    if (isPrime) roots.push(integerRoot(candidate << (64n * power), power) & MASK_64);
  }
  return roots;
}

function integerRoot(value: bigint, power: bigint): bigint {
  let low = 0n;
  let high = 1n << 80n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** power <= value) low = middle;
    else high = middle;
  }
  return low;
}

let constants: { readonly rounds: readonly bigint[]; readonly sha512: readonly bigint[] } | undefined;

/** SHA-384's start values: the same roots of the ninth to sixteenth primes. */
function startOf(bits: 384 | 512): readonly bigint[] {
  return bits === 512 ? primeRoots(8, 2n) : primeRoots(16, 2n).slice(8);
}

/** The digest of `message`, 64 or 48 bytes. */
export function sha512(message: Uint8Array, bits: 384 | 512 = 512): Uint8Array {
  constants ??= { rounds: primeRoots(80, 3n), sha512: startOf(512) };
  const { rounds } = constants;
  const view = padded(message);
  let state: readonly bigint[] = bits === 512 ? constants.sha512 : startOf(384);
  const right = (value: bigint, by: bigint) => ((value >> by) | (value << (64n - by))) & MASK_64;
  const words: bigint[] = [];
  for (let at = 0; at < view.byteLength; at += 128) {
    for (let i = 0; i < 80; i++) {
      if (i < 16) {
        words[i] = view.getBigUint64(at + 8 * i);
        continue;
      }
      const x = words[i - 15] ?? 0n;
      const y = words[i - 2] ?? 0n;
      const first = right(x, 1n) ^ right(x, 8n) ^ (x >> 7n);
      const second = right(y, 19n) ^ right(y, 61n) ^ (y >> 6n);
      words[i] = ((words[i - 16] ?? 0n) + first + (words[i - 7] ?? 0n) + second) & MASK_64;
    }
    let [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n, g = 0n, h = 0n] = state;
    for (let i = 0; i < 80; i++) {
      const mixed = right(e, 14n) ^ right(e, 18n) ^ right(e, 41n);
      const first = h + mixed + ((e & f) ^ (~e & MASK_64 & g)) + (rounds[i] ?? 0n) + (words[i] ?? 0n);
      const second = (right(a, 28n) ^ right(a, 34n) ^ right(a, 39n)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = (d + first) & MASK_64;
      d = c;
      c = b;
      b = a;
      a = (first + second) & MASK_64;
    }
    const added = [a, b, c, d, e, f, g, h];
    state = state.map((value, i) => (value + (added[i] ?? 0n)) & MASK_64);
  }
  const result = new DataView(new ArrayBuffer(64));
  state.forEach((word, i) => {
    result.setBigUint64(8 * i, word);
  });
  return new Uint8Array(result.buffer, 0, bits / 8);
}
