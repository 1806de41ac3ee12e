/**
 * From lines of a program's parts, which the engine's stacks name, to lines of our source files.
 *
 * The build writes a table for each part (`scripts/build/source-lines.ts`): the source files' names, each followed by a newline; a NUL;
 * then a number for each line of the part, in little-endian base 128 (the low bit of the number: another source file's
 * index follows; the rest: how far the source line moved since the line before, zigzag).
 */
import { nativeHost } from "./native.ts";
import { utf8Decode } from "./utf8.ts";

/** Stack lines that {@link mapStack} looks at; a runaway recursion has thousands. */
const MAX_STACK_LINES = 50;

interface Place {
  readonly file: string;
  readonly line: number;
}

interface BundlePlace {
  readonly part: string;
  /** From 1 on. */
  readonly line: number;
}

/** `stack` as the engine gives it, with each `part:line:column` replaced by the source file and line; an extension's stay. */
export function mapStack(stack: string): string {
  const lines = stack.split("\n").slice(0, MAX_STACK_LINES);
  const places = lines.map((line): BundlePlace | undefined => {
    const [, part, number] = /\(([^():]+):(\d+)(?::\d+)?\)$/.exec(line) ?? [];
    return part === undefined ? undefined : { part, line: Number(number) };
  });
  const found = new Map<string, Map<number, Place>>();
  for (const { part } of places.filter((place) => place !== undefined)) {
    if (found.has(part)) continue;
    const wanted = places.flatMap((place) => (place?.part === part ? [place.line] : []));
    found.set(part, lookUp(part, new Set(wanted)));
  }
  return lines
    .map((line, index) => {
      const place = places[index];
      const source = place && found.get(place.part)?.get(place.line);
      return source === undefined ? line : line.replace(/\([^()]*\)$/, `(${source.file}:${source.line})`);
    })
    .join("\n");
}

/** The source places of lines of a part. */
function lookUp(part: string, wanted: ReadonlySet<number>): Map<number, Place> {
  const found = new Map<number, Place>();
  const table = new Uint8Array(nativeHost?.sourceLines(part) ?? []);
  const namesEnd = table.indexOf(0);
  if (namesEnd < 0) return found;
  const names = utf8Decode(table.subarray(0, namesEnd)).split("\n");
  const last = Math.max(0, ...wanted);
  let at = namesEnd + 1;
  const next = (): number => {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = table[at++] ?? 0;
      value |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    return value;
  };
  let source = 0;
  let sourceLine = 0;
  for (let line = 1; line <= last && at < table.length; line++) {
    const number = next();
    const zigzag = number >> 1;
    sourceLine += zigzag & 1 ? -((zigzag + 1) >> 1) : zigzag >> 1;
    if (number & 1) source = next();
    const file = names[source];
    if (wanted.has(line) && file !== undefined && sourceLine > 0) found.set(line, { file, line: sourceLine });
  }
  return found;
}
