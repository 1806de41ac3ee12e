/**
 * Where a process's stdin, stdout or stderr goes on the host, as containerd names it.
 * Source: containerd runtime v2 shim contract, "Stdio".
 */
import { KataError } from "../kata-error.ts";

export type StdioAddress =
  | { readonly kind: "none" }
  | { readonly kind: "fifo"; readonly path: string }
  /** Appended to, made if missing. */
  | { readonly kind: "file"; readonly path: string };

/**
 * Reads an address.
 *
 * @throws KataError `invalid-argument` for a relative path, `unimplemented` for a scheme that the shim does not serve.
 */
export function parseStdioAddress(text: string): StdioAddress {
  if (text === "") return { kind: "none" };
  const scheme = /^([a-z][a-z0-9+-]*):\/\//.exec(text)?.[1];
  const path = scheme === undefined ? text : text.slice(scheme.length + 3);
  if (scheme !== undefined && scheme !== "fifo" && scheme !== "file") {
    throw new KataError("unimplemented", {
      operation: "open stdio",
      object: text,
      hint: "the shim writes to a FIFO (a plain path or fifo://) or a file (file://)",
    });
  }
  if (!path.startsWith("/")) {
    throw new KataError("invalid-argument", {
      operation: "open stdio",
      object: text,
      hint: "the path is absolute",
    });
  }
  return { kind: scheme === "file" ? "file" : "fifo", path };
}
