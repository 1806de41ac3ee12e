/** A descriptor that counts events. Source: eventfd(2). */
import { FileDescriptor } from "./descriptor.ts";
import { EAGAIN } from "./errno.ts";
import { check, kernel } from "./kernel.ts";

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

export function eventfd(): FileDescriptor {
  return new FileDescriptor(
    check(kernel().syscall("eventfd2", 0, EFD_NONBLOCK | EFD_CLOEXEC), "make descriptor for", "events"),
  );
}

/** The events since the last call; it never waits. */
export function takeEvents(fd: number): bigint {
  const counter = new BigUint64Array(1);
  const result = kernel().syscall("read", fd, counter, 8);
  if (result === -EAGAIN) return 0n;
  check(result, "read events of", fd);
  return counter[0] ?? 0n;
}
