/**
 * The versions of programs that were asked before. A monitor takes longer to tell its own than all else takes that is shown of a
 * host: QEMU loads its libraries first, some 20 ms.
 */
import { hasErrno } from "../../kata-error.ts";
import { O_RDONLY, open, read, readTextFileIfExists, replaceFile, stat } from "../../sys/files.ts";
import { programVersion } from "./program-version.ts";

/** Root's; it goes with the next boot. */
const FILE = "/run/kata-program-versions.json";
/** Programs that are remembered; the one that was asked first is forgotten. */
const MAX_PROGRAMS = 8;
const MAX_VERSION_CHARACTERS = 1024;
const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];

interface Remembered {
  readonly program: string;
  /** Of the file, when it told its version. */
  readonly state: string;
  readonly version: string;
}

/**
 * First line of what `program --version` writes to stdout; of a program that has not changed since, what it wrote then.
 *
 * @param file where it is written down, for who may write there.
 * @throws KataError if the program does not run or says nothing.
 */
export async function rememberedVersion(
  program: string,
  ask: (program: string) => Promise<string> = programVersion,
  file: string = FILE,
): Promise<string> {
  const state = stateOf(program);
  // What a script starts can change without it.
  if (state === undefined) return await ask(program);
  const remembered = readRemembered(file);
  const known = remembered.find((each) => each.program === program && each.state === state);
  if (known !== undefined) return known.version;
  const version = await ask(program);
  if (version.length <= MAX_VERSION_CHARACTERS) {
    const others = remembered.filter((each) => each.program !== program);
    remember(file, [...others.slice(1 - MAX_PROGRAMS), { program, state, version }]);
  }
  return version;
}

/** What changes with a program's content, without reading it; undefined for what is no binary. */
function stateOf(program: string): string | undefined {
  try {
    using opened = open(program, O_RDONLY);
    const head = new Uint8Array(ELF_MAGIC.length);
    if (read(opened.fd, head) < head.length || head.some((byte, at) => byte !== ELF_MAGIC[at]))
      return undefined;
    const { onMajor, onMinor, inode, size, modifiedAt, changedAt } = stat(`/proc/self/fd/${opened.fd}`);
    return `${onMajor}:${onMinor}/${inode} ${size} ${modifiedAt} ${changedAt}`;
  } catch (error) {
    // It can be run without being read, or will not run: both are for who asks it.
    if (hasErrno(error, "EACCES", "ENOENT", "ENOTDIR", "EISDIR")) return undefined;
    throw error;
  }
}

function readRemembered(file: string): Remembered[] {
  try {
    const value: unknown = JSON.parse(readTextFileIfExists(file) ?? "[]");
    return Array.isArray(value) ? value.filter(isRemembered) : [];
  } catch (error) {
    // Another call writes it, or it is another user's: the program can be asked again.
    if (error instanceof SyntaxError || hasErrno(error, "EACCES", "EPERM")) return [];
    throw error;
  }
}

function remember(file: string, programs: readonly Remembered[]): void {
  try {
    replaceFile(file, JSON.stringify(programs));
  } catch (error) {
    if (!hasErrno(error, "EACCES", "EPERM", "EROFS", "ENOENT", "ENOSPC")) throw error;
  }
}

function isRemembered(value: unknown): value is Remembered {
  if (typeof value !== "object" || value === null) return false;
  const { program, state, version } = value as Readonly<Record<string, unknown>>;
  return typeof program === "string" && typeof state === "string" && typeof version === "string";
}
