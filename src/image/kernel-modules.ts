/** Which modules must be loaded before a module, and in which order. */
import { KataError } from "../kata-error.ts";
import { type ModuleInfo, moduleName } from "./module-info.ts";

/** A module of a kernel, and what comes before it. */
export interface ResolvedModule<T extends ModuleInfo = ModuleInfo> {
  readonly module: T;
  /** Names of all modules to load first, dependencies of dependencies included, in the order of loading. */
  readonly before: readonly string[];
}

/** A kernel's modules by name. */
export interface ModuleCatalog<T extends ModuleInfo = ModuleInfo> {
  /** The module of this name; undefined if the kernel has none: it may be built in or left out. */
  find(name: string): T | undefined;
  readonly builtIn: ReadonlySet<string>;
}

export interface ModuleWish {
  readonly name: string;
  /** Modules that its own information does not name but that it works better after. */
  readonly after?: readonly string[];
  /** Whether a kernel without it makes a good guest all the same. */
  readonly optional?: boolean;
}

/**
 * All modules that `wishes` need, each after what it depends on; otherwise in the order of the wishes.
 * What is built into the kernel is left out.
 *
 * @throws KataError `no-such-module` if a wish that is not optional, or a dependency, is neither a module nor built in.
 * @throws KataError `malformed-module` if modules depend on each other in a circle.
 */
export function resolveModules<T extends ModuleInfo>(
  wishes: readonly ModuleWish[],
  catalog: ModuleCatalog<T>,
): ResolvedModule<T>[] {
  const resolved = new Map<string, ResolvedModule<T>>();
  const open: string[] = [];
  const resolve = (name: string, needed: boolean, after: readonly string[] = []): readonly string[] => {
    const known = resolved.get(name);
    if (known !== undefined) return [...known.before, name];
    if (open.includes(name)) {
      throw new KataError("malformed-module", {
        operation: "order kernel modules",
        object: `they depend on each other: ${[...open.slice(open.indexOf(name)), name].join(" → ")}`,
      });
    }
    const module = catalog.find(name);
    if (module === undefined) {
      if (catalog.builtIn.has(name) || !needed) return [];
      throw new KataError("no-such-module", {
        operation: "find kernel module",
        object: open.length === 0 ? name : `${name}, which ${open.join(" → ")} depends on`,
        hint: "the kernel package does not have it, neither as a module nor built in",
      });
    }
    open.push(name);
    const before = new Set([
      // Soft dependencies may be aliases or things that this kernel has no module for.
      ...[...after, ...module.softDependencies].flatMap((dependency) =>
        resolve(moduleName(dependency), false),
      ),
      ...module.depends.flatMap((dependency) => resolve(moduleName(dependency), true)),
    ]);
    open.pop();
    resolved.set(name, { module, before: [...before] });
    return [...before, name];
  };
  for (const wish of wishes) resolve(moduleName(wish.name), wish.optional !== true, wish.after ?? []);
  return [...resolved.values()];
}
