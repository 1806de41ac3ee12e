/**
 * The labels that a program is to run under.
 *
 * They are written through a procfs of this process's own, which is mounted nowhere: what the container has at /proc, and what
 * a neighbour may have put there, is not asked (CVE-2019-16884, CVE-2025-52881).
 * Sources: runtime-spec, "Process"; proc(5), "/proc/pid/attr".
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import {
  filesystemType,
  O_WRONLY,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { fsconfigCreate, fsmount, fsopen } from "../../sys/new-mount-api.ts";
import { getpid } from "../../sys/process.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import type { ProcessPlan } from "./process-plan.ts";

const PROC_SUPER_MAGIC = 0x9fa0;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;

/** @throws KataError `unsupported` if the kernel has no such labels. */
export function setLabels({ selinuxLabel, apparmorProfile }: ProcessPlan): void {
  if (selinuxLabel !== "") writeLabel("attr/exec", selinuxLabel);
  if (apparmorProfile !== "" && apparmorProfile !== "unconfined") {
    writeLabel("attr/apparmor/exec", `exec ${apparmorProfile}`);
  }
}

function writeLabel(file: string, label: string): void {
  using context = fsopen("proc");
  fsconfigCreate(context);
  using proc = fsmount(context, 0);
  try {
    using target = openat2(proc.fd, `${getpid()}/${file}`, { flags: O_WRONLY, resolve: RESOLVE });
    if (filesystemType(target.fd) !== PROC_SUPER_MAGIC) throw refused(label, "it is not procfs");
    const bytes = utf8Encode(label);
    check(kernel().syscall("write", target.fd, bytes, bytes.length), "set security label", label);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "EINVAL")) throw refused(label, "the kernel has no such labels");
    throw error;
  }
}

function refused(label: string, hint: string): KataError {
  return new KataError("unsupported", { operation: "set security label", object: label, hint });
}
