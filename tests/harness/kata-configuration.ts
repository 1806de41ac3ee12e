/** configuration.toml for a shim that runs from the build directory, with single keys changed to see what happens. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

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

const DEFAULTS: Configuration = {
  "hypervisor.qemu": {
    path: process.arch === "arm64" ? "/usr/bin/qemu-system-aarch64" : "/usr/bin/qemu-system-x86_64",
    kernel: GUEST_KERNEL,
    initrd: GUEST_INITRD,
    default_vcpus: 1,
    default_memory: GUEST_MEMORY_MIB,
  },
  "agent.kata": {},
  runtime: {},
};

/** The text of a configuration: the defaults with `changes`, section by section. */
export function kataConfiguration(changes: Configuration = {}): string {
  const names = new Set([...Object.keys(DEFAULTS), ...Object.keys(changes)]);
  return [...names]
    .map((name) => {
      const section = { ...DEFAULTS[name], ...changes[name] };
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
