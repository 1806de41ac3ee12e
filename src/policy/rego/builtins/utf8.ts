/** UTF-8 for an engine without TextEncoder. Source: RFC 3629. */

export function encodeUtf8(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 3);
  let at = 0;
  for (const character of text) {
    let point = character.codePointAt(0) ?? 0;
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) {
      bytes[at++] = point;
      continue;
    }
    const tail = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    bytes[at++] = (tail === 1 ? 0xc0 : tail === 2 ? 0xe0 : 0xf0) | (point >> (6 * tail));
    for (let i = tail - 1; i >= 0; i--) bytes[at++] = 0x80 | ((point >> (6 * i)) & 0x3f);
  }
  return bytes.slice(0, at);
}

/** The text of `bytes`; undefined if they are no UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++] ?? 0;
    if (first < 0x80) {
      text += String.fromCharCode(first);
      continue;
    }
    const tail = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
    if (tail === 0 || first > 0xf4) return undefined;
    let point = first & (0x3f >> tail);
    for (let i = 0; i < tail; i++) {
      const next = bytes[at++];
      if (next === undefined || (next & 0xc0) !== 0x80) return undefined;
      point = (point << 6) | (next & 0x3f);
    }
    const isShortest = point >= (tail === 1 ? 0x80 : tail === 2 ? 0x800 : 0x10000);
    if (!isShortest || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined;
    text += String.fromCodePoint(point);
  }
  return text;
}

/** The text of `bytes`, each byte that is no UTF-8 as U+FFFD. */
export function decodeUtf8Lossy(bytes: Uint8Array): string {
  const whole = decodeUtf8(bytes);
  if (whole !== undefined) return whole;
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    let length = 1;
    let piece: string | undefined;
    for (let size = 1; size <= 4 && piece === undefined; size++) {
      piece = at + size <= bytes.length ? decodeUtf8(bytes.subarray(at, at + size)) : undefined;
      if (piece !== undefined) length = size;
    }
    text += piece ?? "\ufffd";
    at += length;
  }
  return text;
}
