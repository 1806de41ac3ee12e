/** Sets of code points: ranges, Perl and POSIX classes, Unicode properties, case folding. Source: RE2 syntax. */

export type Ranges = readonly (readonly [number, number])[];

/** Tells whether a code point is in a class. */
export type Contains = (point: number) => boolean;

export const MAX_POINT = 0x10ffff;

export const PERL: Readonly<Record<string, Ranges>> = {
  d: [[48, 57]],
  w: [
    [48, 57],
    [65, 90],
    [95, 95],
    [97, 122],
  ],
  s: [
    [9, 10],
    [12, 13],
    [32, 32],
  ],
};

export const POSIX: Readonly<Record<string, Ranges>> = {
  alnum: [
    [48, 57],
    [65, 90],
    [97, 122],
  ],
  alpha: [
    [65, 90],
    [97, 122],
  ],
  ascii: [[0, 127]],
  blank: [
    [9, 9],
    [32, 32],
  ],
  cntrl: [
    [0, 31],
    [127, 127],
  ],
  digit: [[48, 57]],
  graph: [[33, 126]],
  lower: [[97, 122]],
  print: [[32, 126]],
  punct: [
    [33, 47],
    [58, 64],
    [91, 96],
    [123, 126],
  ],
  space: [
    [9, 13],
    [32, 32],
  ],
  upper: [[65, 90]],
  word: PERL.w ?? [],
  xdigit: [
    [48, 57],
    [65, 70],
    [97, 102],
  ],
};

export function inRanges(ranges: Ranges): Contains {
  return (point) => {
    for (const [low, high] of ranges) if (point >= low && point <= high) return true;
    return false;
  };
}

export function not(contains: Contains): Contains {
  return (point) => !contains(point);
}

/** Code points with a Unicode general category or script, as `\p{Greek}` names it; undefined for unknown names. */
export function unicodeProperty(name: string): Contains | undefined {
  if (name === "Any") return () => true;
  for (const source of [`\\p{${name}}`, `\\p{Script=${name}}`]) {
    try {
      const pattern = new RegExp(`^${source}$`, "u");
      return (point) => pattern.test(String.fromCodePoint(point));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return undefined;
}

/** The class without regard to case. */
export function foldCase(contains: Contains): Contains {
  return (point) => contains(point) || caseVariants(point).some(contains);
}

/** Other code points that differ from `point` in case only. */
export function caseVariants(point: number): number[] {
  const text = String.fromCodePoint(point);
  const variants = new Set<number>();
  for (const other of [text.toLowerCase(), text.toUpperCase(), text.toUpperCase().toLowerCase()]) {
    const folded = other.codePointAt(0);
    if (folded !== undefined && folded !== point && String.fromCodePoint(folded) === other)
      variants.add(folded);
  }
  return [...variants];
}

/** The class with its answers for the first 128 code points in a table. */
export function tabulate(contains: Contains): Contains {
  const table = Uint8Array.from({ length: 128 }, (_, point) => (contains(point) ? 1 : 0));
  return (point) => (point < 128 ? table[point] === 1 : contains(point));
}
