/**
 * What a monitor may open that confines itself by Landlock: files of the machine that it is told of, and what lies below the rules' paths.
 * The stand-in asks here instead: its emulator needs more of the host than a monitor does.
 * Source: Cloud Hypervisor documentation, docs/landlock.md.
 */
import { hasErrno } from "../../../src/kata-error.ts";
import { O_PATH, open, readlink } from "../../../src/sys/files.ts";

export interface ConfinementRequest {
  readonly landlock_enable?: boolean;
  readonly landlock_rules?: readonly { readonly path: string; readonly access: string }[];
}

interface Rule {
  /** Without links. */
  readonly path: string;
  readonly access: string;
}

export class Confinement {
  /** Undefined for none. */
  readonly #rules: readonly Rule[] | undefined;

  private constructor(rules: readonly Rule[] | undefined) {
    this.#rules = rules;
  }

  /** @returns the monitor's complaint about a rule of a path that is not there, or of letters that are none. */
  static of({ landlock_enable = false, landlock_rules = [] }: ConfinementRequest): Confinement | string {
    const rules: Rule[] = [];
    for (const { path, access } of landlock_rules) {
      const real = realPath(path);
      if (real === undefined) return `LandlockError: OpenPath ${path}`;
      if (!/^(r|w|rw)$/.test(access)) return `LandlockError: InvalidAccess ${access}`;
      rules.push({ path: real, access });
    }
    return new Confinement(landlock_enable ? rules : undefined);
  }

  /** Whether it may open a file that was not part of the machine. */
  lets(path: string, access: "r" | "rw"): boolean {
    const real = realPath(path);
    if (this.#rules === undefined || real === undefined) return true;
    return this.#rules.some(
      (rule) => [...access].every((letter) => rule.access.includes(letter)) && isBelow(real, rule.path),
    );
  }
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

function realPath(path: string): string | undefined {
  try {
    using file = open(path, O_PATH);
    return readlink(`/proc/self/fd/${file.fd}`);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}
