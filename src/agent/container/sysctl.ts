/**
 * Kernel parameters of a container's own namespaces.
 * Source: runtime-spec, "Sysctl"; sysctl(8) for the two ways to separate.
 */
import { KataError } from "../../kata-error.ts";
import { writeExisting } from "../../sys/files.ts";

/** Parameters of an IPC namespace besides `fs.mqueue.*`. */
const IPC_PARAMETERS: ReadonlySet<string> = new Set(
  "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split(" ").map((name) => `kernel/${name}`),
);

export interface OwnNamespaces {
  readonly ipc: boolean;
  readonly uts: boolean;
  readonly user: boolean;
}

/**
 * The files and values for `sysctls`.
 *
 * @throws KataError `invalid-argument` for a parameter that would change more than the container. `net.*` is allowed
 * always: the network namespace is the virtual machine's, which is the container's.
 */
export function planSysctls(
  sysctls: Readonly<Record<string, string>>,
  own: OwnNamespaces,
): (readonly [path: string, value: string])[] {
  return Object.entries(sysctls).map(([name, value]) => {
    const path = parameterPath(name);
    const allowed =
      path.startsWith("net/") ||
      (own.ipc && (IPC_PARAMETERS.has(path) || path.startsWith("fs/mqueue/"))) ||
      (own.uts && path === "kernel/domainname") ||
      (own.user && path.startsWith("user/"));
    if (!allowed) {
      throw new KataError("invalid-argument", {
        operation: "set sysctl",
        object: name,
        hint: "it is not in a namespace of the container's own",
      });
    }
    return [`/proc/sys/${path}`, value] as const;
  });
}

/** `name` as a path: the separator is what comes first, dot or slash; the other one is part of a name. */
function parameterPath(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  const path =
    first === "/" ? name : name.replaceAll(/[./]/g, (separator) => (separator === "." ? "/" : "."));
  const components = path.split("/");
  if (
    components.some((component) => component === "" || component === "." || component === "..") ||
    name.includes("\0")
  ) {
    throw new KataError("invalid-argument", {
      operation: "set sysctl",
      object: JSON.stringify(name.slice(0, 128)),
    });
  }
  return path;
}

/** Writes them through the agent's /proc, which shows the caller's namespaces. */
export function writeSysctls(sysctls: readonly (readonly [path: string, value: string])[]): void {
  for (const [path, value] of sysctls) writeExisting(path, value);
}
