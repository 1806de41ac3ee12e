/**
 * Where the shim of a pod listens: every `start` of one of its containers comes to the same path.
 * Source: containerd, runtime v2 shim, `SocketAddress`.
 */
import { sha256 } from "../crypto/sha256.ts";
import { utf8Encode } from "../sys/utf8.ts";

/** Fixed by containerd, whatever its own root and state directories are. */
export const DEFAULT_SOCKET_DIRECTORY = "/run/containerd/s";

export interface SocketPlace {
  /** Of containerd's gRPC socket; empty under CRI-O. */
  readonly address: string;
  readonly namespace: string;
  /** The id of the pod's sandbox; a container without a pod is its own. */
  readonly sandboxId: string;
  /** Where containerd wants its shims' sockets. */
  readonly directory?: string;
}

/** The path of the socket. */
export function shimSocketPath({ address, namespace, sandboxId, directory }: SocketPlace): string {
  const digest = sha256(utf8Encode(joinClean([address, namespace, sandboxId])));
  const name = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${directory || DEFAULT_SOCKET_DIRECTORY}/${name}`;
}

/** Joins as Go's path/filepath.Join does: without empty parts, doubled slashes, `.` and `..`. */
function joinClean(parts: readonly string[]): string {
  const joined = parts.filter((part) => part !== "").join("/");
  const absolute = joined.startsWith("/");
  const kept: string[] = [];
  for (const part of joined.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!absolute) kept.push(part);
  }
  return `${absolute ? "/" : ""}${kept.join("/")}`;
}
