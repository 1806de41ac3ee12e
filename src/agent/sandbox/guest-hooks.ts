/**
 * Hooks of the guest's own: executable files in `prestart`, `poststart` and `poststop` below a directory of its image, which
 * every container of the pod gets.
 * Source: upstream's runtime, `guest_hook_path`.
 */
import { hasErrno } from "../../kata-error.ts";
import type { Hook, Hooks, Spec } from "../../oci/types.ts";
import { readDirectory, S_IFMT, S_IFREG, stat } from "../../sys/files.ts";

const POINTS = ["prestart", "poststart", "poststop"] as const;
const ANY_EXECUTE = 0o111;

/** The hooks below `directory`, by their names' order. @throws KataError `system-call` if it cannot be read. */
export function scanGuestHooks(directory: string): Hooks {
  const found: Partial<Record<(typeof POINTS)[number], Hook[]>> = {};
  for (const point of POINTS) {
    const hooks = executablesIn(`${directory}/${point}`).map(
      (name): Hook => ({ path: `${directory}/${point}/${name}`, args: [name, point] }),
    );
    if (hooks.length > 0) found[point] = hooks;
  }
  return found;
}

function executablesIn(directory: string): string[] {
  let names: string[];
  try {
    names = readDirectory(directory).map(({ name }) => name);
  } catch (error) {
    // It has no hooks of this kind.
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
  return names.sort().filter((name) => {
    const { mode } = stat(`${directory}/${name}`);
    return (mode & S_IFMT) === S_IFREG && (mode & ANY_EXECUTE) !== 0;
  });
}

/** `spec` with the guest's hooks behind its own. */
export function withGuestHooks(spec: Spec, guest: Hooks): Spec {
  const hooks: Partial<Record<keyof Hooks, readonly Hook[]>> = { ...spec.hooks };
  for (const point of POINTS) {
    const more = guest[point] ?? [];
    if (more.length > 0) hooks[point] = [...(hooks[point] ?? []), ...more];
  }
  return Object.keys(hooks).length === 0 ? spec : { ...spec, hooks };
}
