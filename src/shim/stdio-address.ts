/**
 * Where a process's stdin, stdout or stderr goes on the host, as containerd names it.
 * Source: containerd runtime v2 shim contract, "Stdio".
 */
import { KataError } from "../kata-error.ts";

export type StdioAddress =
  | { readonly kind: "none" }
  | { readonly kind: "fifo"; readonly path: string }
  /** containerd opens it to the shim, and names it by this. */
  | { readonly kind: "stream"; readonly name: string }
  /** Appended to, made if missing. */
  | { readonly kind: "file"; readonly path: string }
  /** Open in another process of this host, which waits for the call that names it: `process-descriptor:///PID/FD`. */
  | { readonly kind: "descriptor"; readonly pid: number; readonly fd: number }
  /** A program that takes both outputs. */
  | {
      readonly kind: "program";
      readonly path: string;
      /** Names and values of the address's query, one after the other. */
      readonly args: readonly string[];
      /** Whether it tells when it is ready by a byte; else the end of the pipe will do. */
      readonly tellsReady: boolean;
    };

/** Most arguments of a program. */
const MAX_PARAMETERS = 256;

/**
 * Reads an address.
 *
 * @throws KataError `invalid-argument` for a relative path, `unimplemented` for a scheme that the shim does not serve.
 */
export function parseStdioAddress(text: string): StdioAddress {
  if (text === "") return { kind: "none" };
  const scheme = /^([a-z][a-z0-9+-]*):\/\//.exec(text)?.[1] ?? "fifo";
  const rest = text.replace(/^[a-z][a-z0-9+-]*:\/\//, "");
  const [path = "", query = ""] = scheme.startsWith("binary") ? splitOnce(rest, "?") : [rest];
  if (scheme === "ttrpc+unix") return { kind: "stream", name: streamName(rest, text) };
  if (!path.startsWith("/")) throw invalid(text, "the path is absolute");
  switch (scheme) {
    case "fifo":
    case "file":
      return { kind: scheme, path };
    case "process-descriptor":
      return descriptorOf(path, text);
    case "binary":
    case "binary-v2":
      return {
        kind: "program",
        path: decode(path, text),
        args: parseQuery(query, text),
        tellsReady: scheme === "binary-v2",
      };
    default:
      throw new KataError("unimplemented", {
        operation: "open stdio",
        object: text,
        hint: "the shim writes to a FIFO (a plain path or fifo://), a file (file://), a program (binary://) or a stream (ttrpc+unix://)",
      });
  }
}

/** The address of what process `pid` has open as `fd`. */
export function descriptorAddress(pid: number, fd: number): string {
  return `process-descriptor:///${pid}/${fd}`;
}

function descriptorOf(path: string, text: string): StdioAddress {
  const [, pid, fd] = /^\/([1-9]\d{0,9})\/(\d{1,9})$/.exec(path) ?? [];
  if (pid === undefined || fd === undefined) throw invalid(text, "it is process-descriptor:///PID/FD");
  return { kind: "descriptor", pid: Number(pid), fd: Number(fd) };
}

/** The socket is the shim's own: only the name in the query counts. */
function streamName(rest: string, text: string): string {
  const [, query = ""] = splitOnce(rest, "?");
  const parameters = parseQuery(query, text);
  const name = parameters[parameters.indexOf("streaming_id") + 1] ?? "";
  if (!parameters.includes("streaming_id") || name === "") throw invalid(text, "it names a streaming_id");
  return name;
}

function parseQuery(query: string, text: string): string[] {
  const parts = query.split("&").filter((part) => part !== "");
  if (parts.length > MAX_PARAMETERS) throw invalid(text, `it has at most ${MAX_PARAMETERS} parameters`);
  return parts.flatMap((part) => {
    const [name = "", value = ""] = splitOnce(part, "=");
    return [decode(name.replaceAll("+", " "), text), decode(value.replaceAll("+", " "), text)];
  });
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}

function decode(text: string, address: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) throw invalid(address, "it holds a malformed %-sequence");
    throw error;
  }
}

function invalid(text: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "open stdio", object: text, hint });
}
