/** Following the last lines of something that keeps only those. */

/**
 * The lines of `after` that were not in `before`: both are the last lines of one text, `after` the later. If they have nothing in
 * common, all are new.
 */
export function newLines(before: readonly string[], after: readonly string[]): readonly string[] {
  for (let from = 0; from < before.length; from++) {
    const kept = before.slice(from);
    if (kept.length <= after.length && kept.every((line, index) => line === after[index])) {
      return after.slice(kept.length);
    }
  }
  return after;
}
