/**
 * The sandboxes of this host, by what their shims have left in the file system: ours and those of upstream's two runtimes.
 *
 * | directory | of |
 * |---|---|
 * | `/run/vc/sbs/ID` | ours and upstream's runtime in Go |
 * | `/run/kata/ID` | ours and upstream's runtime in Rust |
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { checkId } from "../../sandbox/sandbox-paths.ts";
import { exists, readDirectory } from "../../sys/files.ts";

const ROOTS = ["/run/vc/sbs", "/run/kata"];
const SOCKET = "shim-monitor.sock";
const SHOWN_CHOICES = 5;

/** Ids of all sandboxes that something is there of, sorted. */
export function sandboxIds(): string[] {
  const names = ROOTS.flatMap((root) => directoriesIn(root));
  return [...new Set(names)].sort();
}

function directoriesIn(root: string): string[] {
  try {
    return readDirectory(root)
      .filter(({ name }) => isSandboxName(name))
      .filter(({ name }) =>
        ["persist.json", "state.json", SOCKET].some((file) => exists(`${root}/${name}/${file}`)),
      )
      .map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** Machines of the pool, and those that templates are made of, have directories like sandboxes, and no shim. */
export function isSandboxName(name: string): boolean {
  return /^[A-Za-z0-9][\w.-]*$/.test(name) && !/^(factory|pool-[0-9a-f]{16}-[\d-]+)$/.test(name);
}

/** Where the shim of sandbox `id` may listen for its administrator, the usual place first. */
export function managementSockets(id: string): string[] {
  checkId(id);
  return ROOTS.map((root) => `${root}/${id}/${SOCKET}`);
}

/**
 * The sandbox whose id is `word`, or begins with it.
 *
 * @throws KataError `not-found` if there is none, `invalid-argument` if there are several.
 */
export function findSandbox(word: string, ids: readonly string[] = sandboxIds()): string {
  if (ids.includes(word)) return word;
  const found = ids.filter((id) => id.startsWith(word));
  const [first, ...more] = found;
  if (first === undefined || word === "") {
    throw new KataError("not-found", {
      operation: "find sandbox",
      object: JSON.stringify(word.slice(0, 128)),
      hint: ids.length === 0 ? "no sandbox runs on this host" : "kata-runtime ps shows those that run",
    });
  }
  if (more.length === 0) return first;
  throw new KataError("invalid-argument", {
    operation: "find sandbox",
    object: word,
    hint: `${found.length} ids begin so: ${found.slice(0, SHOWN_CHOICES).join(", ")}`,
  });
}
