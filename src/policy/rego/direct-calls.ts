/**
 * Builtins that policies call most, compiled without the detour of a call: no list of operands, no check of their types where the
 * usual ones are there. Everything unusual goes the common way, so that results, faults and messages are the same.
 */
import type { Evaluate } from "./compiled-rule.ts";
import type { Frame } from "./evaluation.ts";
import { isArray, RegoObject, RegoSet, type Value } from "./values.ts";

/** The common way, for operands that have been computed. */
export type CallWith = (frame: Frame, args: readonly Value[]) => Value | undefined;

type Shortcut = (args: readonly Evaluate[], common: CallWith) => Evaluate | undefined;

const SHORTCUTS: Readonly<Record<string, Shortcut>> = {
  "object.get": ([object, key, fallback], common) =>
    object &&
    key &&
    fallback &&
    ((frame) => {
      const of = object(frame);
      const at = of === undefined ? undefined : key(frame);
      const other = at === undefined ? undefined : fallback(frame);
      if (of === undefined || at === undefined || other === undefined) return undefined;
      if (!(of instanceof RegoObject) || isArray(at)) return common(frame, [of, at, other]);
      frame.run.step();
      const value = of.get(at);
      return value === undefined ? other : value;
    }),

  "internal.member_2": binary((item, collection, frame, common) => {
    if (!(collection instanceof RegoSet)) return common(frame, [item, collection]);
    frame.run.step();
    return collection.has(item);
  }),

  startswith: binary((text, beginning, frame, common) => {
    if (typeof text !== "string" || typeof beginning !== "string") return common(frame, [text, beginning]);
    frame.run.step();
    return text.startsWith(beginning);
  }),

  count: ([collection], common) =>
    collection &&
    ((frame) => {
      const of = collection(frame);
      if (of === undefined) return undefined;
      if (!isArray(of)) return common(frame, [of]);
      frame.run.step();
      return of.length;
    }),
};

function binary(
  compute: (a: Value, b: Value, frame: Frame, common: CallWith) => Value | undefined,
): Shortcut {
  return ([first, second], common) =>
    first &&
    second &&
    ((frame) => {
      const a = first(frame);
      const b = a === undefined ? undefined : second(frame);
      return a === undefined || b === undefined ? undefined : compute(a, b, frame, common);
    });
}

/** The direct form of a call, if there is one. @param common is also what a call goes through while `with` replaces anything. */
export function directCall(name: string, args: readonly Evaluate[], common: CallWith): Evaluate | undefined {
  return Object.hasOwn(SHORTCUTS, name) ? SHORTCUTS[name]?.(args, common) : undefined;
}
