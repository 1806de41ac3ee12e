/** Writes the table that `src/sys/source-lines.ts` reads; its format is described there. */
import { decode } from "@jridgewell/sourcemap-codec";

interface SourceMap {
  readonly sources: readonly string[];
  readonly mappings: string;
}

/** The table for a bundle's source map; `nameOf` turns a source of the map into what a stack shall show. */
export function sourceLinesTable(map: SourceMap, nameOf: (source: string) => string): Uint8Array {
  const bytes: number[] = [...new TextEncoder().encode(map.sources.map(nameOf).join("\n")), 0];
  let source = 0;
  let sourceLine = 0;
  for (const segments of decode(map.mappings)) {
    const mapped = segments.find((segment) => segment.length >= 4);
    const nextSource = mapped?.[1] ?? source;
    // Source maps count lines from 0. A bundle line without a source keeps the place of the line before.
    const nextLine = mapped?.[2] === undefined ? sourceLine : mapped[2] + 1;
    const delta = nextLine - sourceLine;
    const zigzag = delta < 0 ? -delta * 2 - 1 : delta * 2;
    writeNumber(bytes, (zigzag << 1) | (nextSource === source ? 0 : 1));
    if (nextSource !== source) writeNumber(bytes, nextSource);
    source = nextSource;
    sourceLine = nextLine;
  }
  return Uint8Array.from(bytes);
}

function writeNumber(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest & 127) | 128);
    rest >>>= 7;
  }
  bytes.push(rest);
}
