/** Values of flags, checked. */
import { suggestion } from "../config/nearest-name.ts";
import { KataError } from "../kata-error.ts";
import type { FlagValues } from "./types.ts";

/** The value of `name`; undefined if the flag was not given. */
export function textFlag(flags: FlagValues, name: string): string | undefined {
  const value = flags.get(name);
  return typeof value === "string" ? value : undefined;
}

/** All values of `name`, which may be repeated. */
export function listFlag(flags: FlagValues, name: string): readonly string[] {
  const value = flags.get(name);
  return Array.isArray(value) ? value : [];
}

/** One of `words`. @throws KataError `invalid-argument` for another. */
export function wordFlag<Word extends string>(
  flags: FlagValues,
  name: string,
  words: readonly Word[],
): Word | undefined {
  const value = textFlag(flags, name);
  if (value === undefined) return undefined;
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw invalid(name, value, `one of ${words.join(", ")}${suggestion(value, words)}`);
}

/** A number from 0 on. @throws KataError `invalid-argument` for something else. */
export function numberFlag(flags: FlagValues, name: string): number | undefined {
  const value = textFlag(flags, name);
  if (value === undefined) return undefined;
  if (/^\d{1,9}(\.\d{1,6})?$/.test(value)) return Number(value);
  throw invalid(name, value, "a number");
}

function invalid(name: string, value: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read command line",
    object: `--${name} ${JSON.stringify(value.slice(0, 200))}`,
    hint,
  });
}
