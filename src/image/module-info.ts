/**
 * What a kernel module says of itself: the `.modinfo` section of its ELF file, and the signature at its end.
 *
 * Debian's kernel packages bring no `modules.dep` (depmod makes it on the machine), so dependencies are read here.
 * Source: elf(5); Linux include/linux/module.h ("MODULE_INFO"), Documentation/admin-guide/module-signing.rst.
 */
import { KataError } from "../kata-error.ts";
import { dataView, elfSections } from "./elf.ts";

export interface ModuleInfo {
  /** As the kernel calls it: with `_`, whatever the file's name has. */
  readonly name: string;
  /** Modules whose symbols it uses; not transitive. */
  readonly depends: readonly string[];
  /** Names or aliases it would like to find loaded before itself. */
  readonly softDependencies: readonly string[];
  /** Other names by which the kernel asks for it; no patterns, by which devices find their drivers. */
  readonly aliases: readonly string[];
}

const SIGNATURE_MAGIC = new TextEncoder().encode("~Module signature appended~\n");
/** `struct module_signature`: ends with the signature's length, big-endian. */
const SIGNATURE_TRAILER_BYTES = 12;

/**
 * @param file for messages.
 * @throws KataError `malformed-elf` if `data` is no 64-bit ELF file, as a compressed module is none.
 * @throws KataError `malformed-module` if it is one without a module's information.
 */
export function readModuleInfo(data: Uint8Array, file: string): ModuleInfo {
  const section = elfSections(data, file).find(({ name }) => name === ".modinfo");
  const fields = section === undefined ? [] : new TextDecoder("latin1").decode(section.content).split("\0");
  const values = (key: string) =>
    fields.filter((field) => field.startsWith(`${key}=`)).map((field) => field.slice(key.length + 1));
  const [name] = values("name");
  if (name === undefined) {
    throw new KataError("malformed-module", {
      operation: "read kernel module",
      object: `${file} says no name`,
    });
  }
  return {
    name: moduleName(name),
    depends: values("depends").flatMap((list) =>
      list
        .split(",")
        .filter((word) => word !== "")
        .map(moduleName),
    ),
    softDependencies: values("softdep").flatMap((text) => preDependencies(text).map(moduleName)),
    aliases: values("alias")
      .filter((alias) => /^[\w-]+$/.test(alias))
      .map(moduleName),
  };
}

/** The kernel's spelling: `crc32c-intel` and `crc32c_intel` are one module. */
export function moduleName(text: string): string {
  return text.replaceAll("-", "_");
}

/** `data` without the signature that may be appended to it. */
export function withoutSignature(data: Uint8Array): Uint8Array {
  const magic = data.length - SIGNATURE_MAGIC.length;
  if (
    magic < SIGNATURE_TRAILER_BYTES ||
    !SIGNATURE_MAGIC.every((byte, index) => data[magic + index] === byte)
  ) {
    return data;
  }
  const signature = dataView(data).getUint32(magic - 4);
  return data.subarray(0, Math.max(0, magic - SIGNATURE_TRAILER_BYTES - signature));
}

/** The part before `post:` of `pre: a b post: c`. */
function preDependencies(text: string): string[] {
  const pre = /\bpre:\s*((?:(?!post:).)*)/.exec(text)?.[1] ?? "";
  return pre.split(/\s+/).filter((word) => word !== "");
}
