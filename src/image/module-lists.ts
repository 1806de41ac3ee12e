/**
 * The text files by which the agent, which has no kmod, loads modules.
 *
 * `/lib/modules/modules.dep` — one line a module of the initial file system:
 *
 * ```
 *  name path dependency…
 *  virtio_console kernel/drivers/char/virtio_console.ko virtio virtio_ring
 * ```
 *
 * Fields are separated by one blank. `name` is the kernel's (with `_`, never `-`), unique in the file. `path` is the file's,
 * relative to `/lib/modules/`. The dependencies are names that have lines of their own, above this one; they are complete
 * (dependencies of dependencies included) and in the order of loading. So to load a module: for each dependency in order,
 * then for the module itself, unless it was loaded before: `finit_module(open(path), "", 0)`, where `EEXIST` means loaded.
 * `ENODEV` from a processor driver (`crc32c_intel`) means that the machine lacks the thing: go on.
 * A name without a line is built into the kernel or not to be had.
 *
 * `/lib/modules/modules.alias` — another name of a module and its name, one pair a line, separated by a blank; both with `_`.
 *
 * `/etc/kata/modules.early` and `/etc/kata/modules.late` — one name a line, in the order of loading: what is loaded before the
 * agent answers, and after that before containers come. Their dependencies come from `modules.dep`.
 *
 * All are UTF-8, end with a newline unless empty, and have no comments.
 */
import type { GuestModule, LoadMoment } from "./guest-modules.ts";
import type { ResolvedModule } from "./kernel-modules.ts";
import { type ModuleInfo, moduleName } from "./module-info.ts";

/** Where the lists and modules are, without the leading slash. */
export const MODULE_DIRECTORY = "lib/modules";
export const DEPENDENCY_LIST = `${MODULE_DIRECTORY}/modules.dep`;
export const ALIAS_LIST = `${MODULE_DIRECTORY}/modules.alias`;
export const EARLY_LIST = "etc/kata/modules.early";
export const LATE_LIST = "etc/kata/modules.late";

/** Text of `modules.dep`. @param modules in the order of {@link resolveModules}: dependencies first. */
export function dependencyList(
  modules: readonly ResolvedModule<ModuleInfo & { readonly path: string }>[],
): string {
  return lines(modules.map(({ module, before }) => [module.name, module.path, ...before].join(" ")));
}

/** Text of `modules.alias`. Of two modules with one other name the first counts. */
export function aliasList(modules: readonly ResolvedModule[]): string {
  const names = new Set(modules.map(({ module }) => module.name));
  const aliases = new Map<string, string>();
  for (const { module } of modules) {
    for (const alias of module.aliases) {
      if (!names.has(alias) && !aliases.has(alias)) aliases.set(alias, module.name);
    }
  }
  return lines([...aliases].map(([alias, name]) => `${alias} ${name}`));
}

/** Text of `modules.early` or `modules.late`: those of `wanted` that the kernel has as modules. */
export function loadList(
  wanted: readonly GuestModule[],
  moment: LoadMoment,
  modules: readonly ResolvedModule[],
): string {
  const present = new Set(modules.map(({ module }) => module.name));
  return lines(
    wanted
      .filter(({ load }) => load === moment)
      .map(({ name }) => moduleName(name))
      .filter((name) => present.has(name)),
  );
}

function lines(list: readonly string[]): string {
  return list.map((line) => `${line}\n`).join("");
}
