/**
 * From the rules of a spec to what each system call number does in one convention.
 *
 * Where several rules name a call, one without arguments decides alone, and of those the first; else the first whose
 * arguments match. A rule that says what the default says is none. A rule that compares one argument twice is a rule for
 * each of its comparisons. All of this is how libseccomp and runc read a spec.
 * Sources: OCI runtime specification, "Seccomp"; seccomp_rule_add(3).
 */
import { KataError } from "../../kata-error.ts";
import type { LinuxSeccomp, LinuxSeccompArg, LinuxSyscall } from "../types.ts";
import { returnValue, SECCOMP_RET_ERRNO } from "./actions.ts";
import type { SyscallTable } from "./architectures.ts";

/** Arguments that all must hold, and the value that is then returned. */
export interface ConditionalRule {
  readonly args: readonly LinuxSeccompArg[];
  readonly value: number;
}

/** What becomes of a call: one value, or the first of several rules that holds. */
export type Behaviour =
  | { readonly kind: "always"; readonly value: number }
  | { readonly kind: "rules"; readonly rules: readonly ConditionalRule[]; readonly otherwise: number };

/** A rule as it is in the spec, with its action as a value and its conditions apart. */
interface Rule {
  readonly names: readonly string[];
  readonly value: number;
  /** One list per way to match; a single empty one matches always. */
  readonly ways: readonly (readonly LinuxSeccompArg[])[];
}

/** Most comparisons in one rule: one for each argument, though writers repeat them. */
const MAX_ARGS = 64;

/** What a filter does, before it is known for which convention. */
export interface RuleSet {
  readonly defaultValue: number;
  readonly rules: readonly Rule[];
}

/** @throws KataError `invalid-argument` for a rule that says nothing sensible. */
export function readRules(seccomp: LinuxSeccomp): RuleSet {
  const defaultValue = returnValue(seccomp.defaultAction, seccomp.defaultErrnoRet);
  const rules = (seccomp.syscalls ?? []).map(readRule).filter(({ value }) => value !== defaultValue);
  return { defaultValue, rules };
}

function readRule(rule: LinuxSyscall): Rule {
  const args = rule.args ?? [];
  if (rule.names.length === 0) throw invalid("a rule without names", "it names at least one system call");
  if (args.length > MAX_ARGS)
    throw invalid(`${args.length} arguments in a rule`, `it has at most ${MAX_ARGS}`);
  for (const { index } of args) {
    if (!Number.isInteger(index) || index < 0 || index > 5)
      throw invalid(`argument ${index}`, "a call has arguments 0 to 5");
  }
  const repeated = new Set(args.map(({ index }) => index)).size < args.length;
  return {
    names: rule.names,
    value: returnValue(rule.action, rule.errnoRet),
    ways: repeated ? args.map((arg) => [arg]) : [args],
  };
}

/** What each call of `table` does that does not do the default. */
export function behaviours({ defaultValue, rules }: RuleSet, table: SyscallTable): Map<number, Behaviour> {
  const always = new Map<number, number>();
  const conditional = new Map<number, ConditionalRule[]>();
  const add = (number: number, args: readonly LinuxSeccompArg[], value: number) => {
    if (args.length === 0) {
      if (!always.has(number)) always.set(number, value);
      return;
    }
    const list = conditional.get(number);
    if (list === undefined) conditional.set(number, [{ args, value }]);
    else list.push({ args, value });
  };
  for (const { names, value, ways } of rules) {
    for (const name of names) {
      const number = table.numbers.get(name);
      const multiplexed = table.multiplexed.get(name);
      for (const args of ways) {
        if (number !== undefined) add(number, args, value);
        // The arguments of a carried call are in memory, where a filter cannot look.
        if (multiplexed !== undefined && args.length === 0)
          add(multiplexed.carrier, [multiplexed.condition], value);
      }
    }
  }
  const all = new Map<number, Behaviour>();
  for (const [number, list] of conditional)
    all.set(number, { kind: "rules", rules: list, otherwise: defaultValue });
  for (const [number, value] of always) all.set(number, { kind: "always", value });
  return all;
}

const ENOSYS = 38;

/**
 * What is returned for calls newer than any that has a name here. A default error would keep programs from finding out
 * that the call is not there for them and from falling back to an older one, so they are told just that.
 */
export function valueForUnknown(defaultValue: number): number {
  return (defaultValue & 0xffff_0000) === SECCOMP_RET_ERRNO ? SECCOMP_RET_ERRNO | ENOSYS : defaultValue;
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "compile seccomp filter", object, hint });
}
