/** Strings by code points, as Go counts them. */

/** Number of code points. */
export function countCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** True if every code point is one UTF-16 unit, so that offsets are the same in both. */
export function isSimple(text: string): boolean {
  return !/[\ud800-\udfff]/.test(text);
}

/** The code points from `start` up to, not including, `end`. */
export function sliceCodePoints(text: string, start: number, end: number): string {
  if (isSimple(text)) return text.slice(start, end);
  return [...text].slice(start, end).join("");
}

/** How many code points stand before UTF-16 offset `offset`. */
export function codePointsBefore(text: string, offset: number): number {
  return isSimple(text) ? offset : countCodePoints(text.slice(0, offset));
}
