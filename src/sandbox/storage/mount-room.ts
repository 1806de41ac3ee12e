/**
 * A mount namespace of the sandbox's own, in which everything is mounted that the guest shall see.
 *
 * The host never sees these mounts, and they cannot outlive the sandbox: the kernel takes them away when the last process
 * in the namespace and the last descriptor of it are gone, also after a crash. What the host mounts later is seen here
 * where its propagation allows; what is bound into the room comes from the host's own view.
 * Source: mount_namespaces(7).
 */

import { MS_SLAVE } from "../../oci/mount-options.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { AT_FDCWD, O_DIRECTORY, O_PATH, O_RDONLY, open } from "../../sys/files.ts";
import { setns, unshare } from "../../sys/namespaces.ts";
import { AT_RECURSIVE, mountSetattr } from "../../sys/new-mount-api.ts";
import { CLONE_NEWNS, fchdir } from "../../sys/process.ts";

const OWN_NAMESPACE = "/proc/self/ns/mnt";

export class MountRoom implements Disposable {
  readonly #host: FileDescriptor;
  readonly #room: FileDescriptor;

  private constructor(host: FileDescriptor, room: FileDescriptor) {
    this.#host = host;
    this.#room = room;
  }

  /** Makes a room. This process stays where it is. */
  static open(): MountRoom {
    using directory = open(".", O_PATH | O_DIRECTORY);
    const host = open(OWN_NAMESPACE, O_RDONLY);
    try {
      unshare(CLONE_NEWNS);
      try {
        mountSetattr(AT_FDCWD, "/", AT_RECURSIVE, { propagation: MS_SLAVE });
        return new MountRoom(host, open(OWN_NAMESPACE, O_RDONLY));
      } finally {
        leave(host, directory);
      }
    } catch (error) {
      host.close();
      throw error;
    }
  }

  /** The mounts that process `pid` sees, which is ours: it keeps its namespace while this is used. */
  static of(pid: number): MountRoom {
    const host = open(OWN_NAMESPACE, O_RDONLY);
    try {
      return new MountRoom(host, open(`/proc/${pid}/ns/mnt`, O_RDONLY));
    } catch (error) {
      host.close();
      throw error;
    }
  }

  /** Runs `action` inside the room. It does not wait for anything: this process is a guest there. */
  run<T>(action: () => T): T {
    // setns(2) puts the working directory at the root.
    using directory = open(".", O_PATH | O_DIRECTORY);
    setns(this.#room.fd, CLONE_NEWNS);
    try {
      return action();
    } finally {
      leave(this.#host, directory);
    }
  }

  /** Moves the calling process into the room for good; for a child before its execve. */
  enter(): void {
    setns(this.#room.fd, CLONE_NEWNS);
  }

  /** Gives the room up: its mounts go with the last process in it. */
  [Symbol.dispose](): void {
    this.#room.close();
    this.#host.close();
  }
}

function leave(host: FileDescriptor, directory: FileDescriptor): void {
  setns(host.fd, CLONE_NEWNS);
  fchdir(directory.fd);
}
