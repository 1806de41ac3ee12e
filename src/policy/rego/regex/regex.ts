/**
 * Regular expressions with Go's syntax and results, in time linear in the text.
 *
 * `test` walks a deterministic machine that is built as the text asks for it; where a match's place or groups matter
 * all ways are followed side by side, the preferred one first. Each character costs at most the size of the expression.
 */
import { LazyStates } from "./lazy-states.ts";
import { compileMachine, type Machine } from "./machine.ts";
import type { Assertion } from "./syntax.ts";

/** Counts steps of work; throws at a limit. */
export type Spend = (steps: number) => void;

/** Offsets in UTF-16 units: start and end of the match, then of each group; -1 where a group took no part. */
export type Match = readonly number[];

interface Thread {
  readonly at: number;
  readonly saved: readonly number[];
}

export class Regex {
  readonly names: readonly (string | undefined)[];
  private readonly machine: Machine;
  private readonly states: LazyStates | undefined;

  /** @throws RegexFault if `pattern` is no RE2 expression. */
  constructor(pattern: string) {
    this.machine = compileMachine(pattern);
    this.names = this.machine.names;
    const usesLines = this.machine.instructions.some(
      (one) => one.op === "assert" && !one.what.startsWith("text"),
    );
    this.states = usesLines ? undefined : new LazyStates(this.machine);
  }

  /** True if some part of `text` matches. */
  test(text: string, spend: Spend): boolean {
    const { prefix } = this.machine;
    if (prefix !== "" && !text.includes(prefix)) return false;
    return this.states ? this.states.test(text, spend) : this.find(text, 0, spend) !== undefined;
  }

  /** The leftmost match that begins at or after `from`. */
  find(text: string, from: number, spend: Spend): Match | undefined {
    const { anchored, prefix } = this.machine;
    let threads: Thread[] = [];
    let found: readonly number[] | undefined;
    for (let at = from; ; ) {
      if (!found && threads.length === 0) {
        if (anchored && at > 0) return undefined;
        if (prefix !== "") {
          const next = text.indexOf(prefix, at);
          if (next < 0) return undefined;
          at = next;
        }
      }
      if (!found)
        threads = this.follow(
          [...threads.map((thread) => [thread.at, thread.saved] as const), [0, []]],
          text,
          at,
        );
      spend(threads.length + 1);
      const point = text.codePointAt(at);
      const width = point === undefined ? 1 : point > 0xffff ? 2 : 1;
      const advanced: (readonly [number, readonly number[]])[] = [];
      for (const thread of threads) {
        const instruction = this.machine.instructions[thread.at];
        if (instruction?.op === "match") {
          found = thread.saved.with(1, at);
          break;
        }
        if (instruction?.op === "take" && point !== undefined && instruction.contains(point)) {
          advanced.push([instruction.next, thread.saved]);
        }
      }
      if (point === undefined || (found && advanced.length === 0)) return found;
      at += width;
      threads = this.follow(advanced, text, at, true);
    }
  }

  /** The threads that wait for a character (or match) after all steps that take none, the preferred ones first. */
  private follow(
    starts: readonly (readonly [number, readonly number[]])[],
    text: string,
    at: number,
    started = false,
  ): Thread[] {
    const { instructions, names } = this.machine;
    const seen = new Set<number>();
    const threads: Thread[] = [];
    for (const [start, saved] of starts) {
      const begun =
        saved.length > 0 || started ? saved : [at, ...new Array<number>(2 * names.length - 1).fill(-1)];
      const stack: (readonly [number, readonly number[]])[] = [[start, begun]];
      for (let top = stack.pop(); top; top = stack.pop()) {
        const [index, groups] = top;
        if (seen.has(index)) continue;
        seen.add(index);
        const instruction = instructions[index];
        switch (instruction?.op) {
          case "jump":
            stack.push([instruction.next, groups]);
            break;
          case "split":
            stack.push([instruction.second, groups], [instruction.first, groups]);
            break;
          case "save":
            stack.push([instruction.next, groups.with(instruction.slot, at)]);
            break;
          case "assert":
            if (holds(instruction.what, text, at)) stack.push([instruction.next, groups]);
            break;
          case "take":
          case "match":
            threads.push({ at: index, saved: groups });
            break;
        }
      }
    }
    return threads;
  }

  /** All matches that do not overlap, at most `limit` if that is not negative. */
  findAll(text: string, limit: number, spend: Spend): Match[] {
    const found: Match[] = [];
    let previousEnd = -1;
    for (let from = 0; from <= text.length && (limit < 0 || found.length < limit); ) {
      const match = this.find(text, from, spend);
      if (!match) break;
      const [start = 0, end = 0] = match;
      const isEmpty = end === start;
      // An empty match right behind the one before does not count.
      if (!isEmpty || start !== previousEnd) found.push(match);
      previousEnd = end;
      from = isEmpty ? end + ((text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1) : end;
    }
    return found;
  }
}

function isWord(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return (
    (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || unit === 95 || (unit >= 97 && unit <= 122)
  );
}

function holds(what: Assertion, text: string, at: number): boolean {
  switch (what) {
    case "text-start":
      return at === 0;
    case "text-end":
      return at === text.length;
    case "line-start":
      return at === 0 || text.charCodeAt(at - 1) === 10;
    case "line-end":
      return at === text.length || text.charCodeAt(at) === 10;
    case "word":
      return isWord(text, at - 1) !== isWord(text, at);
    case "no-word":
      return isWord(text, at - 1) === isWord(text, at);
  }
}
