/**
 * The namespaces that the containers of a pod share, and how a clone gets into them.
 *
 * An open descriptor keeps a namespace alive, so there is neither a process nor a mount to hold it; a pid namespace alone
 * needs a process 1 (see `pid-holder.ts`).
 * Sources: namespaces(7), setns(2).
 */
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDONLY, open } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { CLONE_NEWIPC, CLONE_NEWUTS } from "../../sys/process.ts";
import { utf8Encode } from "../../sys/utf8.ts";

/** A namespace to be in while a process is cloned. */
export interface JoinedNamespace {
  readonly fd: number;
  /** `CLONE_NEW*`. */
  readonly type: number;
  /** Name below /proc/PID/ns. */
  readonly name: NamespaceName;
}

export type NamespaceName = "ipc" | "uts" | "pid" | "net" | "cgroup";

/** The agent's own namespaces, opened when they are first needed. */
const own = new Map<NamespaceName, FileDescriptor>();

function ownNamespace(name: NamespaceName): number {
  let file = own.get(name);
  if (file === undefined) {
    // Of pid namespaces this one is what the agent's children get when nothing else is said.
    file = open(`/proc/self/ns/${name}`, O_RDONLY);
    own.set(name, file);
  }
  return file.fd;
}

function enter(fd: number, type: number, name: string): void {
  check(kernel().syscall("setns", fd, type), "join namespace", name);
}

/** Runs `action` inside of `namespaces` and comes back. The action does not wait for anything. */
export function insideNamespaces<T>(namespaces: readonly JoinedNamespace[], action: () => T): T {
  const left: JoinedNamespace[] = [];
  try {
    for (const namespace of namespaces) {
      ownNamespace(namespace.name);
      enter(namespace.fd, namespace.type, namespace.name);
      left.push(namespace);
    }
    return action();
  } finally {
    for (const { type, name } of left.reverse()) enter(ownNamespace(name), type, name);
  }
}

/** Makes a new namespace, runs `inside` in it, and comes back. The caller closes the result. */
function newNamespace(name: NamespaceName, type: number, inside: () => void): FileDescriptor {
  const home = ownNamespace(name);
  check(kernel().syscall("unshare", type), "make namespace", name);
  try {
    inside();
    return open(`/proc/self/ns/${name}`, O_RDONLY);
  } finally {
    enter(home, type, name);
  }
}

export interface SharedNamespaces {
  readonly ipc: FileDescriptor;
  readonly uts: FileDescriptor;
  /** Names the machine of the pod's containers. @param hostname empty to keep the one that it has. */
  setHostname(hostname: string): void;
  close(): void;
}

function setHostname(hostname: string): void {
  if (hostname === "") return;
  const bytes = utf8Encode(hostname);
  check(kernel().syscall("sethostname", bytes, bytes.length), "set host name", hostname);
}

/** Makes the namespaces of a pod. @param hostname empty to keep the agent's. */
export function makeSharedNamespaces(hostname: string): SharedNamespaces {
  const ipc = newNamespace("ipc", CLONE_NEWIPC, () => undefined);
  try {
    const uts = newNamespace("uts", CLONE_NEWUTS, () => setHostname(hostname));
    return {
      ipc,
      uts,
      setHostname: (name) =>
        insideNamespaces([{ fd: uts.fd, type: CLONE_NEWUTS, name: "uts" }], () => setHostname(name)),
      close() {
        ipc.close();
        uts.close();
      },
    };
  } catch (error) {
    ipc.close();
    throw error;
  }
}
