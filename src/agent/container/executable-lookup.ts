/**
 * Finding the program of a process inside its container, as execvp(3) does.
 *
 * The texts are what docker and containerd look for to tell "not found" (127) from "not executable" (126).
 */
import { KataError } from "../../kata-error.ts";
import { errnoName } from "../../sys/errno.ts";
import { AT_FDCWD, S_IFDIR, S_IFMT, statIfExists } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";

const X_OK = 1;
const AT_EACCESS = 0x200;
const EACCES = 13;

/** What execvp(3) searches when PATH is not set. */
const DEFAULT_PATH = "/bin:/usr/bin";

/**
 * The path of program `name` for `environment`; called in the container's root, as its user, in its directory.
 *
 * @throws KataError `executable-not-found` or `executable-not-permitted`.
 */
export function findExecutable(name: string, environment: readonly string[]): string {
  if (name.includes("/")) {
    const found = permission(name);
    if (found === 0) return name;
    throw refusal(name, found === EACCES ? "permission denied" : `stat ${name}: ${reason(found)}`, found);
  }
  const path = environment.find((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? DEFAULT_PATH;
  let denied = false;
  for (const directory of name === "" ? [] : path.split(":")) {
    const candidate = directory === "" ? `./${name}` : `${directory}/${name}`;
    const found = permission(candidate);
    if (found === 0) return candidate;
    if (found === EACCES) denied = true;
  }
  if (denied) throw refusal(name, "permission denied", EACCES);
  throw refusal(name, "executable file not found in $PATH", 2);
}

/** 0 if the file can be executed, or the errno that tells why not. */
function permission(path: string): number {
  const result = kernel().syscall("faccessat2", AT_FDCWD, path, X_OK, AT_EACCESS);
  if (result < 0) return -result;
  // A directory may be "executable", too.
  const status = statIfExists(path);
  return status !== undefined && (status.mode & S_IFMT) === S_IFDIR ? EACCES : 0;
}

function reason(errno: number): string {
  if (errno === 2) return "no such file or directory";
  if (errno === 20) return "not a directory";
  return errnoName(errno);
}

/** @param errno that decides between "not found" and "not permitted". */
function refusal(name: string, why: string, errno: number): KataError {
  const code = errno === EACCES ? "executable-not-permitted" : "executable-not-found";
  return new KataError(code, { operation: "exec", object: `${JSON.stringify(name)}: ${why}` });
}

/** What to say if execve itself refuses a file that was found. */
export function executionRefused(path: string, errno: number): KataError {
  const texts: Readonly<Record<number, string>> = {
    2: "no such file or directory",
    8: "exec format error",
    13: "permission denied",
  };
  return new KataError(errno === 2 ? "executable-not-found" : "executable-not-permitted", {
    operation: "exec",
    object: `${JSON.stringify(path)}: ${texts[errno] ?? errnoName(errno)}`,
    hint: errno === 2 ? "the interpreter or loader that the file names is missing" : undefined,
  });
}
