/** A short name for a long text. */

/**
 * 64 bits of two FNV-1a hashes, as hexadecimal digits: quick to compute, and equal for different texts by accident only. Nothing
 * relies on more than that, since the text itself is compared.
 */
export function templateName(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x01234567;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x01000193) ^ (a >>> 13);
  }
  const hex = (word: number) => (word >>> 0).toString(16).padStart(8, "0");
  return hex(a) + hex(b);
}
