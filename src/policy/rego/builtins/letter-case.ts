/** Upper and lower case one code point at a time, as Go's `strings.ToUpper` and `strings.ToLower` have it. */

/**
 * Small letters with iota subscript: JavaScript spells their capitals with two letters, Go takes the title-case letter.
 * Source: UnicodeData.txt, simple mappings of U+1F80 to U+1FFC.
 */
function titleCase(point: number): number | undefined {
  if (point === 0x1fb3 || point === 0x1fc3 || point === 0x1ff3) return point + 9;
  const isRow = (point & ~0x37) === 0x1f80 && (point & 0x30) !== 0x30;
  return isRow && (point & 0x8) === 0 ? point + 8 : undefined;
}

/** What a letter becomes if that is one letter, `otherwise` if it is more. */
function single(mapped: string, otherwise: string): string {
  return mapped.length === 1 || (mapped.length === 2 && (mapped.codePointAt(0) ?? 0) > 0xffff)
    ? mapped
    : otherwise;
}

/** As `upper` of Rego. */
export function upperCase(text: string): string {
  if (isAscii(text)) return text.toUpperCase();
  let result = "";
  for (const letter of text) {
    const title = titleCase(letter.codePointAt(0) ?? 0);
    result += title === undefined ? single(letter.toUpperCase(), letter) : String.fromCodePoint(title);
  }
  return result;
}

/** As `lower` of Rego. */
export function lowerCase(text: string): string {
  if (isAscii(text)) return text.toLowerCase();
  let result = "";
  for (const letter of text) {
    const lower = letter.toLowerCase();
    // U+0130, the capital I with a dot, leaves its dot behind.
    result += single(lower, lower.slice(0, 1));
  }
  return result;
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}
