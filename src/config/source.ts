/** The texts of a configuration: the main file and its drop-ins, as one tree that still knows where each value is from. */
import { parse, TomlError } from "smol-toml";
import { KataError } from "../kata-error.ts";

export interface ConfigurationSource {
  /** Path, for messages. */
  readonly name: string;
  readonly text: string;
}

export type Tree = Readonly<Record<string, unknown>>;

/** Longest file, UTF-16 units; shipped ones have some 40 Ki with all their comments. */
export const MAX_SOURCE_LENGTH = 1 << 20;
/** Deepest nesting of inline values. */
const MAX_DEPTH = 16;

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function readSource({ name, text }: ConfigurationSource): Tree {
  if (text.length > MAX_SOURCE_LENGTH) {
    const why = `it has ${text.length} characters, at most ${MAX_SOURCE_LENGTH} are read`;
    throw configurationError(name, why, "is this the configuration file?");
  }
  try {
    return parse(text, { maxDepth: MAX_DEPTH, unsafeKeyBehaviour: "throw" });
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    // The first line says what is wrong; the others draw it.
    const why = cause.message.split("\n")[0]?.replace(/^Invalid TOML document: /, "") ?? "";
    throw configurationError(
      `${name}:${cause.line}:${cause.column}`,
      why,
      "correct the TOML at that place",
      cause,
    );
  }
}

/**
 * Something is wrong at a place of a file.
 *
 * @param place `FILE:LINE:COLUMN`, or less of it. @param hint what to do, without parentheses.
 */
export function configurationError(place: string, why: string, hint: string, cause?: unknown): KataError {
  return new KataError("invalid-configuration", {
    operation: "read configuration",
    object: `${place}: ${why}`,
    hint,
    cause,
  });
}

/** The values of all sources together: a drop-in's value stands in the place of the one before it. */
export class MergedSources {
  readonly tree: Tree;
  readonly #sources: readonly ConfigurationSource[];

  constructor(sources: readonly ConfigurationSource[]) {
    this.#sources = sources;
    this.tree = sources.map(readSource).reduce(mergeTrees, {});
  }

  /** Names of the sources in the order in which they were read. */
  get names(): string[] {
    return this.#sources.map(({ name }) => name);
  }

  /**
   * `FILE:LINE:COLUMN` of the value at `path` that counts, or of the nearest table around it that is written down; the main
   * file if there is none.
   */
  locate(path: readonly string[]): string {
    for (let depth = path.length; depth > 0; depth--) {
      const outer = path.slice(0, depth);
      for (const source of this.#sources.toReversed()) {
        const found = findKey(source.text, outer);
        if (found !== undefined) return `${source.name}:${found.line}:${found.column}`;
      }
    }
    return this.#sources[0]?.name ?? "";
  }
}

/** `over` laid over `under`, table by table. */
export function mergeTrees(under: Tree, over: Tree): Tree {
  const merged: Record<string, unknown> = { ...under };
  for (const [name, value] of Object.entries(over)) {
    const below = merged[name];
    merged[name] = isTree(below) && isTree(value) ? mergeTrees(below, value) : value;
  }
  return merged;
}

/**
 * Where a key or the header of its table stands. The parser does not say, so this looks at each line by itself; only a
 * text of several lines that looks like a key can mislead it.
 */
function findKey(
  text: string,
  path: readonly string[],
): { readonly line: number; readonly column: number } | undefined {
  const wanted = path.join("\0");
  let table = "";
  for (const [index, line] of text.split("\n").entries()) {
    const header = /^\s*\[\[?([^\]]+)\]/.exec(line)?.[1];
    const key = /^\s*([\w.\-"' ]+?)\s*=/.exec(line)?.[1];
    let here = "";
    if (header !== undefined) here = table = splitKey(header);
    else if (key !== undefined) here = table === "" ? splitKey(key) : `${table}\0${splitKey(key)}`;
    if (here !== "" && here === wanted) return { line: index + 1, column: line.search(/\S/) + 1 };
  }
  return undefined;
}

function splitKey(key: string): string {
  return key
    .split(".")
    .map((part) => part.trim().replace(/^["']|["']$/g, ""))
    .join("\0");
}
