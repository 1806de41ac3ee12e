/** `kata-ctl monitor`: becomes kata-monitor. */
import { KataError } from "../../kata-error.ts";
import { exists, readlink } from "../../sys/files.ts";
import { execve } from "../../sys/process.ts";
import { environment } from "../../sys/program.ts";
import type { CommandContext } from "../types.ts";

const PROGRAM = "kata-monitor";

/** @throws KataError `not-found` if the program is not beside this one, or does not start. */
export async function runMonitor({ operands: [address] }: CommandContext): Promise<number> {
  const own = readlink("/proc/self/exe");
  const path = `${own.slice(0, own.lastIndexOf("/"))}/${PROGRAM}`;
  if (!exists(path)) {
    throw new KataError("not-found", {
      operation: "start monitor",
      object: path,
      hint: `install ${PROGRAM} beside kata-runtime`,
    });
  }
  const args = [path, ...(address === undefined ? [] : ["-listen-address", address])];
  const errno = -execve(
    path,
    args,
    Object.entries(environment).map(([name, value]) => `${name}=${value}`),
  );
  throw new KataError("not-found", {
    operation: "start monitor",
    object: path,
    errno: errno === 2 ? "ENOENT" : String(errno),
    hint: "it runs under Node.js, which has to be in the PATH",
  });
}
