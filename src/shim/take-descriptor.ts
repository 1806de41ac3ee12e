/**
 * What a process that calls the shim has open, as a descriptor of the shim's own: the stdio of an OCI command line, which is
 * inherited, not named.
 * Sources: pidfd_getfd(2), proc_pid_fd(5).
 */
import { hasErrno } from "../kata-error.ts";
import type { FileDescriptor } from "../sys/descriptor.ts";
import { AT_EMPTY_PATH, O_NOCTTY, O_NONBLOCK, open, S_IFCHR, S_IFIFO, S_IFMT, statx } from "../sys/files.ts";
import { pidfdGetfd, pidfdOpen } from "../sys/process.ts";

/**
 * Takes a descriptor of a process, which waits for the shim's answer meanwhile.
 *
 * @param access `O_RDONLY` or `O_WRONLY`.
 * @throws KataError `system-call` ESRCH if the process is gone, EBADF if it has nothing open under that number.
 */
export function takeDescriptor(
  { pid, fd }: { readonly pid: number; readonly fd: number },
  access: number,
): FileDescriptor {
  using process = pidfdOpen(pid);
  const shared = pidfdGetfd(process, fd);
  const kind = statx(shared.fd, "", AT_EMPTY_PATH).mode & S_IFMT;
  // Files share their position, and sockets cannot be opened again. A pipe or terminal must be: not to wait in it is a
  // property of the opening, which the shell that started the caller still uses.
  if (kind !== S_IFIFO && kind !== S_IFCHR) return shared;
  try {
    const own = open(`/proc/self/fd/${shared.fd}`, access | O_NONBLOCK | O_NOCTTY);
    shared.close();
    return own;
  } catch (error) {
    // A pipe whose readers have all gone, or a device that may be opened once.
    if (!hasErrno(error, "ENXIO", "EACCES", "EBUSY", "EPERM")) throw error;
    return shared;
  }
}
