/** The two sides of `cp`: a path of the host, or `SANDBOX:PATH`. */
import { KataError } from "../../kata-error.ts";

export type CopySide =
  | { readonly kind: "host"; readonly path: string }
  /** `path` is absolute. */
  | { readonly kind: "guest"; readonly sandbox: string; readonly path: string };

/**
 * As docker's cp reads it: what begins with `/` or `.` is the host's, whatever follows.
 *
 * @throws KataError `invalid-argument` for a path of a guest that is not absolute.
 */
export function parseCopySide(word: string): CopySide {
  const colon = word.indexOf(":");
  if (colon <= 0 || /^[/.]/.test(word)) {
    if (word !== "" && colon !== 0) return { kind: "host", path: word };
    throw invalid(word, "it is a path, or SANDBOX:PATH");
  }
  const [sandbox, path] = [word.slice(0, colon), word.slice(colon + 1)];
  if (!path.startsWith("/") || path.includes("\0")) throw invalid(word, "a guest's path begins with /");
  return { kind: "guest", sandbox, path };
}

/** The last step of a path. @throws KataError `invalid-argument` if that is no name. */
export function nameOf(path: string): string {
  const name = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  if (name === "" || name === "." || name === "..")
    throw invalid(path, "it has no name of its own: write it out");
  return name;
}

/** The directory that a path is in: `.` for a name alone. */
export function parentOf(path: string): string {
  const trimmed = path.replace(/\/+$/, "");
  const slash = trimmed.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : trimmed.slice(0, slash);
}

function invalid(word: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "copy",
    object: JSON.stringify(word.slice(0, 200)),
    hint,
  });
}
