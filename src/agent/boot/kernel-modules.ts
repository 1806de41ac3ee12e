/**
 * Loading the kernel modules of the guest's initial file system, without kmod.
 *
 * `lib/modules/modules.dep` has a line a module: its name, its file below `lib/modules/`, and the modules that come before it,
 * complete and in the order of loading. `lib/modules/modules.alias` has other names by which the kernel asks for one: `ALIAS NAME`
 * lines. `etc/kata/modules.early` and `.late` name what is loaded before the agent answers and
 * after that. The image builder writes them all.
 * Source: finit_module(2).
 */
import { KataError } from "../../kata-error.ts";
import { EEXIST, ENODEV, ENOENT } from "../../sys/errno.ts";
import { loop } from "../../sys/event-loop.ts";
import { exists, O_RDONLY, openat, readToEnd } from "../../sys/files.ts";
import { check, kernel, systemCallError } from "../../sys/kernel.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { splitParameters } from "../kernel-parameters.ts";
import { hasVirtioDevice, VIRTIO_BALLOON, VIRTIO_MEM } from "../virtio-devices.ts";

const DIRECTORY = "lib/modules";
const DEPENDENCIES = `${DIRECTORY}/modules.dep`;
const ALIASES = `${DIRECTORY}/modules.alias`;
const EARLY = "etc/kata/modules.early";
const LATE = "etc/kata/modules.late";
const VIRTIO_MMIO = "virtio_mmio";
/** The first virtio-mmio device by its ACPI id. Source: virtio specification 1.2, section 4.2.1. */
const ACPI_VIRTIO_MMIO = "/sys/bus/acpi/devices/LNRO0005:00";
/** Longest list, bytes: a hundred modules have some kilobytes. */
const MAX_LIST_BYTES = 1 << 20;
/** Longest text of a module's parameters, characters. */
const MAX_PARAMETERS = 4096;

/** Devices by which the host gives and takes memory: no container asks for them. */
const MEMORY_DEVICES = [
  { type: VIRTIO_BALLOON, module: "virtio_balloon" },
  { type: VIRTIO_MEM, module: "virtio_mem" },
];

interface Module {
  readonly path: string;
  /** Names of modules, in the order of loading. */
  readonly before: readonly string[];
}

export class KernelModules {
  readonly #root: number;
  readonly #modules: ReadonlyMap<string, Module>;
  readonly #loaded = new Set<string>();
  /** Parameters on the kernel command line, by module. */
  readonly #given: ReadonlyMap<string, readonly string[]>;

  /**
   * @param root descriptor of the initial file system; without lists in it there are no modules.
   * @param commandLine content of `/proc/cmdline`, which holds parameters for modules, too.
   */
  constructor(root: number, commandLine = "") {
    this.#root = root;
    this.#modules = parseDependencies(this.#readList(DEPENDENCIES));
    this.#given = moduleParameters(commandLine);
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
    // A machine without PCI tells of its virtio devices in either way (microvm, Firecracker).
    const hasMmio = this.#given.has(VIRTIO_MMIO) || exists(ACPI_VIRTIO_MMIO);
    if (hasMmio && this.has(VIRTIO_MMIO)) this.load(VIRTIO_MMIO);
  }

  /** Whether there is a module of this name to be loaded; one that is built into the kernel is none. */
  has(name: string): boolean {
    return this.#modules.has(name);
  }

  /** Loads what containers and the machine's devices need; the agent answers between one module and the next. */
  async loadLate(): Promise<void> {
    const forDevices = MEMORY_DEVICES.filter(({ type, module }) => this.has(module) && hasVirtioDevice(type));
    for (const name of [...listed(this.#readList(LATE)), ...forDevices.map(({ module }) => module)]) {
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
    const found = this.#modules.has(known) ? known : this.#aliased(known);
    const module = this.#modules.get(found);
    if (module === undefined) {
      if (exists(`/sys/module/${known}`)) return;
      throw new KataError("not-found", {
        operation: "load kernel module",
        object: known,
        hint: "the guest's image does not have it; build one that does",
      });
    }
    for (const before of module.before) this.#loadOne(before, "");
    this.#loadOne(found, text);
  }

  /** The module that has `name` as another name, or `name` itself. */
  #aliased(name: string): string {
    for (const line of listed(this.#readList(ALIASES))) {
      const [alias, module = name] = line.split(" ");
      if (alias === name) return module;
    }
    return name;
  }

  #loadOne(name: string, parameters: string): void {
    const module = this.#modules.get(name);
    if (module === undefined || this.#loaded.has(name)) return;
    using file = openat(this.#root, `${DIRECTORY}/${module.path}`, O_RDONLY);
    // The later one of two with one name counts, so what was asked for comes last.
    const all = [...(this.#given.get(name) ?? []), parameters].join(" ").trim();
    const result = kernel().syscall("finit_module", file.fd, all, 0);
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

/** `name.parameter=value` words of the kernel command line, as modprobe(8) reads them. */
function moduleParameters(commandLine: string): Map<string, string[]> {
  const given = new Map<string, string[]>();
  for (const [word, value] of splitParameters(commandLine)) {
    const dot = word.indexOf(".");
    // Devices to make at the start are no parameter of the module.
    if (dot <= 0 || word === "dm-mod.create") continue;
    const name = word.slice(0, dot).replaceAll("-", "_");
    const parameter = word.slice(dot + 1);
    given.set(name, [...(given.get(name) ?? []), value === "" ? parameter : `${parameter}=${value}`]);
  }
  return given;
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
