/**
 * What a container wrote to its termination log.
 * Source: Kubernetes, "Determine the Reason for Pod Failure"; upstream's agent protocol, GetDiagnosticData.
 */
import { KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";
import {
  AT_EMPTY_PATH,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  open,
  readToEnd,
  S_IFMT,
  S_IFREG,
  statx,
} from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";

const PATH_ANNOTATION = "io.kubernetes.container.terminationMessagePath";
/** Kubernetes takes the last 4 KiB of it. */
const MAX_LOG_BYTES = 64 << 10;

/** The termination log of the container of `spec`; empty if it wrote none. The file is the container's: it may be anything. */
export function terminationLog(spec: Spec): string {
  const path = spec.annotations?.[PATH_ANNOTATION];
  const mount = spec.mounts?.find(({ destination }) => destination === path);
  if (path === undefined || mount?.source === undefined) {
    throw new KataError("not-found", {
      operation: "read termination log",
      object: path ?? "the container names none",
      hint: `the annotation ${PATH_ANNOTATION} and a mount at that path tell where it is`,
    });
  }
  using file = open(mount.source, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  const status = statx(file.fd, "", AT_EMPTY_PATH);
  if ((status.mode & S_IFMT) !== S_IFREG) {
    throw new KataError("failed-precondition", {
      operation: "read termination log",
      object: `${path} is no file`,
    });
  }
  return status.size > MAX_LOG_BYTES ? "" : utf8Decode(readToEnd(file.fd, path, MAX_LOG_BYTES));
}
