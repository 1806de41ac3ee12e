/** configuration.toml for a shim that runs from the build directory, with single keys changed to see what happens. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { AARCH64_QEMU } from "./foreign-guest.ts";
import { remoteHypervisorSocket } from "./remote-hypervisor.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** Directory of the shim and its companions. */
export const BUILT_PROGRAMS = join(ROOT, "build/bin");

/**
 * What `npm run image` writes. Where there is an unpacked kernel, it boots some 300 ms sooner on an emulated processor than
 * one that unpacks itself.
 */
export const GUEST_KERNEL = join(ROOT, "build/image", process.arch === "x64" ? "vmlinux" : "vmlinuz");
export const GUEST_INITRD = join(ROOT, "build/image/initrd");

type Value = string | number | boolean | readonly string[];
export type Section = Readonly<Record<string, Value>>;
export type Configuration = Readonly<Record<string, Section>>;

/** Small enough for many at once on a developer's machine, MiB. */
const GUEST_MEMORY_MIB = 256;

/** Monitors that tests can run with, by the names of their tables, and their programs here. */
const MONITORS = {
  qemu: process.arch === "arm64" ? "/usr/bin/qemu-system-aarch64" : "/usr/bin/qemu-system-x86_64",
  // Needs hardware virtualization, which the machines that tests run on may not have: a program stands in for it.
  clh: join(ROOT, "build/test/stand-in-cloud-hypervisor"),
  firecracker: join(ROOT, "build/test/stand-in-firecracker"),
  // A service, which is started for all tests of a run.
  remote: "",
} as const;

/** A monitor with another machine than its usual one: what its table says then. */
interface MachineVariant {
  readonly monitor: keyof typeof MONITORS;
  readonly keys: Section;
}

const VARIANTS: Readonly<Record<string, MachineVariant>> = {
  "qemu-microvm": { monitor: "qemu", keys: { machine_type: "microvm" } },
  "qemu-aarch64": {
    monitor: "qemu",
    keys: {
      path: AARCH64_QEMU,
      machine_type: "virt",
      kernel: join(ROOT, "build/image-aarch64/vmlinuz"),
      initrd: join(ROOT, "build/image-aarch64/initrd"),
      // Without ACPI, what is plugged in needs a port of its own.
      pcie_root_port: 4,
    },
  },
};

const WANTED = process.env.KATA_TEST_HYPERVISOR ?? "qemu";
const VARIANT = VARIANTS[WANTED];

/** Whether programs in the guest are for another processor than this machine's. */
export const IS_FOREIGN_GUEST = WANTED === "qemu-aarch64" && process.arch !== "arm64";

/** `KATA_TEST_HYPERVISOR`, or QEMU. */
const MONITOR = VARIANT?.monitor ?? monitorOf(WANTED);

function monitorOf(name: string): keyof typeof MONITORS {
  const found = (Object.keys(MONITORS) as (keyof typeof MONITORS)[]).find((each) => each === name);
  if (found !== undefined) return found;
  const names = [...Object.keys(MONITORS), ...Object.keys(VARIANTS)];
  throw new Error(`KATA_TEST_HYPERVISOR=${name}: one of ${names.join(", ")}`);
}

/** What one of them needs besides. */
const MORE: Partial<Record<keyof typeof MONITORS, Section>> = {
  firecracker: { jailer_path: join(ROOT, "build/test/stand-in-firecracker-jailer") },
};

function defaults(): Configuration {
  const machine =
    MONITOR === "remote"
      ? { remote_hypervisor_socket: remoteHypervisorSocket() }
      : { path: MONITORS[MONITOR], kernel: GUEST_KERNEL, initrd: GUEST_INITRD };
  return {
    [`hypervisor.${MONITOR}`]: {
      ...machine,
      default_vcpus: 1,
      default_memory: GUEST_MEMORY_MIB,
      ...VARIANT?.keys,
      ...MORE[MONITOR],
    },
    "agent.kata": {},
    // Of this checkout: not among those of the machine's pods, and kept for the next tests.
    factory: { template_path: join(ROOT, "build/templates") },
    runtime: {},
  };
}

/**
 * The text of a configuration: the defaults with `changes`, section by section. What is said of `hypervisor.qemu` is said of the
 * monitor that the tests run with.
 */
export function kataConfiguration(wanted: Configuration = {}): string {
  const changes = Object.fromEntries(
    Object.entries(wanted).map(([name, section]) => [
      name.replace(/^hypervisor\.qemu(?=$|\.)/, `hypervisor.${MONITOR}`),
      section,
    ]),
  );
  const standing = defaults();
  const names = new Set([...Object.keys(standing), ...Object.keys(changes)]);
  return [...names]
    .map((name) => {
      const section = { ...standing[name], ...changes[name] };
      // What JSON writes for these types of value is TOML too.
      const lines = Object.entries(section).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
      return `[${name}]\n${lines.join("")}`;
    })
    .join("\n");
}

/** Writes the configuration into `directory`. @returns the file, for `KATA_CONF_FILE` or `--runtime-config-path`. */
export function writeKataConfiguration(directory: string, name: string, changes: Configuration = {}): string {
  const path = join(directory, `${name}.toml`);
  writeFileSync(path, kataConfiguration(changes));
  return path;
}
