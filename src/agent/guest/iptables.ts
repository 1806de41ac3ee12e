/**
 * The guest's packet filter, as the host reads and replaces it: the image's own `iptables-save` and `iptables-restore`.
 * Source: upstream's agent protocol, GetIPTables and SetIPTables.
 */
import { KataError } from "../../kata-error.ts";
import { exists } from "../../sys/files.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { runProgramToEnd } from "../program-run.ts";

/** Where an image has the programs. */
const DIRECTORIES: readonly string[] = ["/sbin", "/usr/sbin", "/bin", "/usr/bin", "/usr/local/sbin"];
/** How long the programs wait for others that hold the kernel's lock, seconds. */
const LOCK_WAIT_S = 10;
const DEADLINE_MS = 30_000;
/** Below the largest message of the protocol (4 MiB). */
const MAX_RULES_BYTES = 3 << 20;

export type AddressFamily = "ipv4" | "ipv6";

/** All rules, as `iptables-save` writes them. @throws KataError `unimplemented` if the image has no such program. */
export async function saveRules(
  family: AddressFamily,
  reaper: ChildReaper,
  directories = DIRECTORIES,
): Promise<Uint8Array> {
  return await run(`${prefix(family)}-save`, [], new Uint8Array(0), reaper, directories);
}

/** Replaces all rules by `rules`. @returns what the program says. */
export async function restoreRules(
  family: AddressFamily,
  rules: Uint8Array,
  reaper: ChildReaper,
  directories = DIRECTORIES,
): Promise<Uint8Array> {
  if (rules.length > MAX_RULES_BYTES) {
    throw new KataError("invalid-argument", { operation: "set iptables", object: `${rules.length} bytes` });
  }
  const args = ["--wait", String(LOCK_WAIT_S)];
  return await run(`${prefix(family)}-restore`, args, rules, reaper, directories);
}

function prefix(family: AddressFamily): string {
  return family === "ipv6" ? "ip6tables" : "iptables";
}

async function run(
  name: string,
  args: readonly string[],
  stdin: Uint8Array,
  reaper: ChildReaper,
  directories: readonly string[],
): Promise<Uint8Array> {
  const path = directories.map((directory) => `${directory}/${name}`).find(exists);
  if (path === undefined) {
    throw new KataError("unimplemented", {
      operation: "use packet filter",
      object: name,
      hint: "the guest's image does not have this program",
    });
  }
  const { status, stdout, stderr } = await runProgramToEnd(
    {
      path,
      args: [name, ...args],
      environment: ["PATH=/sbin:/usr/sbin:/bin:/usr/bin"],
      stdin,
      deadlineMs: DEADLINE_MS,
      outputLimit: MAX_RULES_BYTES + 1,
    },
    reaper,
  );
  if (status !== 0) {
    throw new KataError("internal", {
      operation: `run ${name}`,
      object: `it ended with status ${status}`,
      hint: stderr === "" ? undefined : stderr,
    });
  }
  if (stdout.length <= MAX_RULES_BYTES) return stdout;
  throw new KataError("resource-exhausted", {
    operation: `run ${name}`,
    object: "its output does not fit into a message",
  });
}
