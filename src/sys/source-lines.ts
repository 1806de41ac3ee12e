/**
 * From lines of the bundle, which the engine's stacks name, to lines of our source files.
 *
 * The build writes the table (`scripts/build/source-lines.ts`): the source files' names, each followed by a newline; a NUL;
 * then a number for each bundle line, in little-endian base 128 (the low bit of the number: another source file's
 * index follows; the rest: how far the source line moved since the bundle line before, zigzag).
 */
import { nativeHost } from "./native.ts";
import { utf8Decode } from "./utf8.ts";

/** Stack lines that {@link mapStack} looks at; a runaway recursion has thousands. */
const MAX_STACK_LINES = 50;

interface Place {
  readonly file: string;
  readonly line: number;
}

/** `stack` as the engine gives it, with each `bundle:line:column` replaced by the source file and line; an extension's stay. */
export function mapStack(stack: string): string {
  const lines = stack.split("\n");
  const shown = lines.slice(0, MAX_STACK_LINES);
  const places = lookUp(
    shown.map((line) =>
      Number(/\((?![^():]*\.extension:)(?:[^():]+):(\d+)(?::\d+)?\)$/.exec(line)?.[1] ?? 0),
    ),
  );
  return shown
    .map((line, index) => {
      const place = places[index];
      return place === undefined ? line : line.replace(/\([^()]*\)$/, `(${place.file}:${place.line})`);
    })
    .join("\n");
}

/** The source places of bundle lines (1-based; 0 for none). */
function lookUp(wanted: readonly number[]): (Place | undefined)[] {
  const table = nativeHost === undefined ? new Uint8Array() : new Uint8Array(nativeHost.sourceLines);
  const namesEnd = table.indexOf(0);
  if (namesEnd < 0) return wanted.map(() => undefined);
  const names = utf8Decode(table.subarray(0, namesEnd)).split("\n");
  const last = Math.max(0, ...wanted);
  const found = new Map<number, Place>();
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
    if (wanted.includes(line) && file !== undefined && sourceLine > 0)
      found.set(line, { file, line: sourceLine });
  }
  return wanted.map((line) => found.get(line));
}
