/**
 * Entering the container's working directory.
 *
 * A path like `/proc/self/fd/7` leads out of the container if descriptor 7 is a directory outside (CVE-2024-21626). No
 * descriptor of the agent's is open by now; and the kernel tells if the directory is not below this process's root.
 */
import { KataError } from "../../kata-error.ts";
import { mkdirAll } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";
import { chdir, getcwd } from "../../sys/process.ts";

const ENOENT = 2;

/** Makes `path` the working directory and creates it if it is missing, as the user that the process is now. */
export function enterWorkingDirectory(path: string): void {
  if (kernel().syscall("chdir", path) === -ENOENT) mkdirAll(path);
  chdir(path);
  const actual = getcwd();
  if (!actual.startsWith("/")) {
    throw new KataError("permission-denied", {
      operation: "change directory to",
      object: path,
      hint: "it is outside of the container",
    });
  }
}
