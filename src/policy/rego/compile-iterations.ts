/** Going through collections: references with unbound variables, and matching values against patterns. */
import { type CodeContext, compileTerm, fixedRule } from "./compile-terms.ts";
import type { Evaluate, Step } from "./compiled-rule.ts";
import {
  fixedNodeValue,
  member,
  memberKeys,
  type Place,
  placeBelow,
  placeKeys,
  placeValue,
} from "./document.ts";
import type { Frame } from "./evaluation.ts";
import type { Ir, IrRef, Variable } from "./ir.ts";
import { equalValues, isArray, RegoObject, type Value } from "./values.ts";

/** True if `value` fits, its parts put into the slots of variables. */
export type Match = (frame: Frame, value: Value) => boolean;

/** Goes on from a value on the way of a reference. */
type Visit = (frame: Frame, value: Value) => boolean;
type VisitPlace = (frame: Frame, place: Place) => boolean;

/**
 * Matches values against `pattern`; variables not in `bound` are put in there and get their part of the value.
 */
export function compileMatch(pattern: Ir, bound: Set<Variable>, context: CodeContext): Match {
  switch (pattern.kind) {
    case "variable": {
      const { variable } = pattern;
      const { slot } = variable;
      if (!bound.has(variable)) {
        bound.add(variable);
        return (frame, value) => {
          frame.slots[slot] = value;
          return true;
        };
      }
      return (frame, value) => {
        const other = frame.slots[slot];
        return other !== undefined && equalValues(other, value);
      };
    }
    case "array": {
      const items = pattern.items.map((item) => compileMatch(item, bound, context));
      return (frame, value) => {
        if (!isArray(value) || value.length !== items.length) return false;
        return items.every((match, i) => match(frame, value[i] as Value));
      };
    }
    case "object": {
      const fields = pattern.fields.map(
        ([key, value]) =>
          [compileTerm(key, { ...context, bound }), compileMatch(value, bound, context)] as const,
      );
      return (frame, value) => {
        if (!(value instanceof RegoObject) || value.size !== fields.length) return false;
        return fields.every(([key, match]) => {
          const name = key(frame);
          const field = name === undefined ? undefined : value.get(name);
          return field !== undefined && match(frame, field);
        });
      };
    }
    default: {
      const term = compileTerm(pattern, { ...context, bound });
      return (frame, value) => {
        const other = term(frame);
        return other !== undefined && equalValues(other, value);
      };
    }
  }
}

/** Goes through all members that `ref` can mean, with each in `slot`. */
export function compileIteration(ref: IrRef, slot: number, context: CodeContext, next: Step): Step {
  const bound = new Set(context.bound);
  const keys = ref.path.map((step) => compileKey(step, bound, context));
  const done: Visit = (frame, value) => {
    frame.slots[slot] = value;
    return next(frame);
  };
  if (ref.head.kind !== "data") {
    const head = compileTerm(ref.head, context);
    const visit = keys.reduceRight<Visit>((after, key) => visitMember(key, after), done);
    return (frame) => {
      const value = head(frame);
      return value !== undefined && visit(frame, value);
    };
  }
  const fixed = fixedRule(context.root, ref.path);
  if (fixed) {
    const visit = keys.slice(fixed.steps).reduceRight<Visit>((after, key) => visitMember(key, after), done);
    return (frame) => {
      const value = fixedNodeValue(frame.run, fixed.node);
      return value !== undefined && visit(frame, value);
    };
  }
  const visit = keys.reduceRight<VisitPlace>(
    (after, key) => visitPlace(key, after),
    (frame, place) => {
      const value = placeValue(frame.run, place);
      return value !== undefined && done(frame, value);
    },
  );
  const { root } = context;
  return (frame) => visit(frame, { node: root, base: frame.run.scope.base });
}

/** A step of a path: a key to look up, or a pattern that keys must fit. */
type Key =
  | { readonly kind: "lookup"; readonly key: Evaluate }
  | { readonly kind: "pattern"; readonly match: Match };

function compileKey(step: Ir, bound: Set<Variable>, context: CodeContext): Key {
  if (hasUnbound(step, bound)) return { kind: "pattern", match: compileMatch(step, bound, context) };
  return { kind: "lookup", key: compileTerm(step, { ...context, bound }) };
}

function hasUnbound(step: Ir, bound: ReadonlySet<Variable>): boolean {
  switch (step.kind) {
    case "variable":
      return !bound.has(step.variable);
    case "array":
      return step.items.some((item) => hasUnbound(item, bound));
    case "object":
      return step.fields.some(([, value]) => hasUnbound(value, bound));
    default:
      return false;
  }
}

function visitMember(key: Key, after: Visit): Visit {
  if (key.kind === "lookup") {
    return (frame, value) => {
      const name = key.key(frame);
      const found = name === undefined ? undefined : member(value, name);
      return found !== undefined && after(frame, found);
    };
  }
  const { match } = key;
  return (frame, value) => {
    if (isArray(value)) {
      for (let i = 0; i < value.length; i++) {
        frame.run.step();
        if (match(frame, i) && after(frame, value[i] as Value)) return true;
      }
      return false;
    }
    for (const name of memberKeys(value)) {
      frame.run.step();
      if (!match(frame, name)) continue;
      const found = member(value, name);
      if (found !== undefined && after(frame, found)) return true;
    }
    return false;
  };
}

function visitPlace(key: Key, after: VisitPlace): VisitPlace {
  if (key.kind === "lookup") {
    return (frame, place) => {
      const name = key.key(frame);
      const below = name === undefined ? undefined : placeBelow(frame.run, place, name);
      return below !== undefined && after(frame, below);
    };
  }
  const { match } = key;
  return (frame, place) => {
    for (const name of placeKeys(place)) {
      frame.run.step();
      if (!match(frame, name)) continue;
      const below = placeBelow(frame.run, place, name);
      if (below && after(frame, below)) return true;
    }
    return false;
  };
}
