/** The fields of one line of a log: logfmt as logrus and our programs write it, or JSON as slog does. */

/** More fields than this are no record. */
const MAX_FIELDS = 1000;

const PAIR = /[ \t]*([^\s="]+)(?:=("(?:[^"\\]|\\.)*"|[^\s"]*))?(?=[ \t]|$)/y;

/** @returns undefined for a line that is neither. */
export function parseLine(line: string): ReadonlyMap<string, string> | undefined {
  return line.startsWith("{") ? parseJson(line) : parseLogfmt(line);
}

function parseLogfmt(line: string): ReadonlyMap<string, string> | undefined {
  const fields = new Map<string, string>();
  const text = line.trimEnd();
  PAIR.lastIndex = 0;
  while (PAIR.lastIndex < text.length) {
    const match = PAIR.exec(text);
    const [, name, value] = match ?? [];
    // A name without a value is a word of a text that is no record.
    if (name === undefined || value === undefined || fields.size >= MAX_FIELDS) return undefined;
    const read = value.startsWith('"') ? unquote(value.slice(1, -1)) : value;
    if (!fields.has(name)) fields.set(name, read);
  }
  return fields;
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Undoes the escapes of Go's strconv.Quote, which are those of JSON and some more. */
function unquote(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/gs,
    (whole, byte?: string, unit?: string, point?: string, other?: string) => {
      const code = byte ?? unit ?? point;
      if (code === undefined) return ESCAPES[other ?? ""] ?? other ?? whole;
      const value = Number.parseInt(code, 16);
      return value > 0x10_ffff
        ? whole
        : unit === undefined
          ? String.fromCodePoint(value)
          : String.fromCharCode(value);
    },
  );
}

function parseJson(line: string): ReadonlyMap<string, string> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return undefined;
  const entries = Object.entries(parsed);
  if (entries.length > MAX_FIELDS) return undefined;
  return new Map(
    entries.map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  );
}
