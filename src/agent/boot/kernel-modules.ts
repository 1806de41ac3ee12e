/**
 * Loading the kernel modules of the guest's initial file system, without kmod.
 *
 * `lib/modules/modules.dep` has a line a module: its name, its file below `lib/modules/`, and the modules that come before it,
 * complete and in the order of loading. `etc/kata/modules.early` and `.late` name what is loaded before the agent answers and
 * after that. The image builder writes all three.
 * Source: finit_module(2).
 */
import { KataError } from "../../kata-error.ts";
import { EEXIST, ENODEV, ENOENT } from "../../sys/errno.ts";
import { loop } from "../../sys/event-loop.ts";
import { exists, O_RDONLY, openat, readToEnd } from "../../sys/files.ts";
import { check, kernel, systemCallError } from "../../sys/kernel.ts";
import { utf8Decode } from "../../sys/utf8.ts";

const DIRECTORY = "lib/modules";
const DEPENDENCIES = `${DIRECTORY}/modules.dep`;
const EARLY = "etc/kata/modules.early";
const LATE = "etc/kata/modules.late";
/** Longest list, bytes: a hundred modules have some kilobytes. */
const MAX_LIST_BYTES = 1 << 20;
/** Longest text of a module's parameters, characters. */
const MAX_PARAMETERS = 4096;

interface Module {
  readonly path: string;
  /** Names of modules, in the order of loading. */
  readonly before: readonly string[];
}

export class KernelModules {
  readonly #root: number;
  readonly #modules: ReadonlyMap<string, Module>;
  readonly #loaded = new Set<string>();

  /** @param root descriptor of the initial file system; without lists in it there are no modules. */
  constructor(root: number) {
    this.#root = root;
    this.#modules = parseDependencies(this.#readList(DEPENDENCIES));
  }

  #readList(path: string): string {
    const fd = kernel().syscall("faccessat2", this.#root, path, 0, 0);
    if (fd === -ENOENT) return "";
    check(fd, "find", path);
    using file = openat(this.#root, path, O_RDONLY);
    return utf8Decode(readToEnd(file.fd, path, MAX_LIST_BYTES));
  }

  /** Loads what the host cannot reach the agent without. */
  loadEarly(): void {
    for (const name of listed(this.#readList(EARLY))) this.load(name);
  }

  /** Loads what containers need; the agent answers between one module and the next. */
  async loadLate(): Promise<void> {
    for (const name of listed(this.#readList(LATE))) {
      await new Promise<void>((resolve) => loop.soon(resolve));
      this.load(name);
    }
  }

  /**
   * Loads a module with those that it needs; one that is loaded already, or built into the kernel, is no error.
   *
   * @param parameters `name=value` texts.
   * @throws KataError `not-found` if the guest has none of this name; `invalid-argument` for names that are none.
   */
  load(name: string, parameters: readonly string[] = []): void {
    const known = moduleName(name);
    const text = parameters.join(" ");
    if (text.length > MAX_PARAMETERS || text.includes("\0")) {
      throw new KataError("invalid-argument", { operation: "load kernel module", object: known });
    }
    const module = this.#modules.get(known);
    if (module === undefined) {
      if (exists(`/sys/module/${known}`)) return;
      throw new KataError("not-found", {
        operation: "load kernel module",
        object: known,
        hint: "the guest's image does not have it; build one that does",
      });
    }
    for (const before of module.before) this.#loadOne(before, "");
    this.#loadOne(known, text);
  }

  #loadOne(name: string, parameters: string): void {
    const module = this.#modules.get(name);
    if (module === undefined || this.#loaded.has(name)) return;
    using file = openat(this.#root, `${DIRECTORY}/${module.path}`, O_RDONLY);
    const result = kernel().syscall("finit_module", file.fd, parameters, 0);
    // ENODEV: a driver for a processor's feature that this one has not; who needs it does without.
    if (result < 0 && result !== -EEXIST && result !== -ENODEV) {
      throw systemCallError(result, "load kernel module", name);
    }
    this.#loaded.add(name);
  }
}

/** The kernel's name of a module. @throws KataError `invalid-argument`. */
function moduleName(name: string): string {
  if (/^[\w-]{1,64}$/.test(name)) return name.replaceAll("-", "_");
  throw new KataError("invalid-argument", {
    operation: "load kernel module",
    object: JSON.stringify(name.slice(0, 80)),
  });
}

function listed(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** The modules in the text of `modules.dep`. */
export function parseDependencies(text: string): Map<string, Module> {
  const modules = new Map<string, Module>();
  for (const line of listed(text)) {
    const [name = "", path = "", ...before] = line.split(" ");
    modules.set(name, { path, before });
  }
  return modules;
}
