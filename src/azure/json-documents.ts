/** JSON documents that follow one another in one text, as several commands write them into one pipe. */
import { describeError, KataError } from "../kata-error.ts";

/** More documents than this are no answers of a few commands. */
const MAX_DOCUMENTS = 64;

/**
 * The documents of `text`.
 *
 * @param name of the text, for messages.
 * @throws KataError `invalid-argument` for what is no JSON, with the line where its document begins.
 */
export function parseDocuments(text: string, name: string): readonly unknown[] {
  const whole = parseWhole(text);
  if (whole !== undefined) return [whole];
  const documents: unknown[] = [];
  let at = skipSpace(text, 0);
  while (at < text.length) {
    const end = documentEnd(text, at);
    if (documents.length >= MAX_DOCUMENTS) {
      throw new KataError("invalid-argument", {
        operation: "read JSON",
        object: name,
        hint: `at most ${MAX_DOCUMENTS} documents are read`,
      });
    }
    try {
      documents.push(JSON.parse(text.slice(at, end)));
    } catch (error) {
      throw new KataError("invalid-argument", {
        operation: "read JSON",
        object: `${name}:${lineOf(text, at)}`,
        hint: `${describeError(error)}; is it the output of a command with -o json?`,
        cause: error,
      });
    }
    at = skipSpace(text, end);
  }
  if (documents.length === 0) {
    throw new KataError("invalid-argument", { operation: "read JSON", object: name, hint: "it is empty" });
  }
  return documents;
}

/** The one document of a text, by far the quickest way for a large one; undefined if it is something else. */
function parseWhole(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Several documents, or none: the slow way finds out which, and where it is wrong.
    return undefined;
  }
}

function skipSpace(text: string, from: number): number {
  const space = /[^\s\uFEFF]/g;
  space.lastIndex = from;
  return space.exec(text)?.index ?? text.length;
}

/** Where the object or list that begins at `from` ends; the end of the text if it does not, or is neither. */
function documentEnd(text: string, from: number): number {
  if (text[from] !== "{" && text[from] !== "[") return text.length;
  // Strings are taken as a whole, so that what is in them does not count.
  const mark = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]/gs;
  mark.lastIndex = from;
  let depth = 0;
  for (let match = mark.exec(text); match !== null; match = mark.exec(text)) {
    const [found] = match;
    if (found === "{" || found === "[") depth++;
    else if ((found === "}" || found === "]") && --depth === 0) return mark.lastIndex;
  }
  return text.length;
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}
