/** A deterministic machine made state by state as texts need them; it only tells whether there is a match. */
import type { Machine } from "./machine.ts";
import type { Spend } from "./regex.ts";

interface State {
  /** Instructions that wait for a character, or for the end of the text. */
  readonly waiting: readonly number[];
  readonly matches: boolean;
  /** Matches if the text ends here. */
  readonly matchesAtEnd: boolean;
  readonly next: Map<number, State>;
}

/** States kept before all are forgotten: bounds the memory of one expression. */
const MAX_STATES = 1000;
/** Transitions kept in one state. */
const MAX_TRANSITIONS = 512;

export class LazyStates {
  private readonly machine: Machine;
  private states = new Map<string, State>();
  private start: State | undefined;
  /** Where every match of an anchored expression is after the text that it begins with. */
  private afterPrefix: State | undefined;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  test(text: string, spend: Spend): boolean {
    const { anchored, prefix } = this.machine;
    if (!anchored || prefix === "") return this.run(this.begin(), text, 0, spend);
    if (!text.startsWith(prefix)) return false;
    spend(prefix.length >> 4);
    if (this.afterPrefix === undefined) {
      let state = this.begin();
      for (const character of prefix) state = this.step(state, character.codePointAt(0) ?? 0, spend);
      this.afterPrefix = state;
    }
    return this.run(this.afterPrefix, text, prefix.length, spend);
  }

  private begin(): State {
    this.start ??= this.state([0], true);
    return this.start;
  }

  private run(from: State, text: string, begin: number, spend: Spend): boolean {
    const { anchored } = this.machine;
    const { length } = text;
    let state = from;
    spend(length - begin);
    for (let at = begin; at < length; ) {
      if (state.matches) return true;
      if (anchored && state.waiting.length === 0) return false;
      const point = text.codePointAt(at) ?? 0;
      at += point > 0xffff ? 2 : 1;
      state = state.next.get(point) ?? this.step(state, point, spend);
    }
    return state.matches || state.matchesAtEnd;
  }

  /** The state after one more character, remembered. */
  private step(state: State, point: number, spend: Spend): State {
    spend(state.waiting.length);
    const next = this.advance(state, point);
    if (state.next.size < MAX_TRANSITIONS) state.next.set(point, next);
    return next;
  }

  private advance(state: State, point: number): State {
    const { instructions, anchored } = this.machine;
    const starts: number[] = [];
    for (const index of state.waiting) {
      const instruction = instructions[index];
      if (instruction?.op === "take" && instruction.contains(point)) starts.push(instruction.next);
    }
    // A match may also begin after this character.
    if (!anchored) starts.push(0);
    return this.state(starts, false);
  }

  private state(starts: readonly number[], isTextStart: boolean): State {
    const waiting = this.follow(starts, isTextStart, false);
    const key = `${isTextStart ? "^" : ""}${waiting.join(",")}`;
    const known = this.states.get(key);
    if (known) return known;
    if (this.states.size >= MAX_STATES) {
      this.states = new Map();
      this.start = undefined;
      this.afterPrefix = undefined;
    }
    const isMatch = (index: number) => this.machine.instructions[index]?.op === "match";
    const state: State = {
      waiting,
      matches: waiting.some(isMatch),
      matchesAtEnd: this.follow(waiting, isTextStart, true).some(isMatch),
      next: new Map(),
    };
    this.states.set(key, state);
    return state;
  }

  /** Instructions reached without a character; those that need the text's end are kept until it is known. */
  private follow(starts: readonly number[], isTextStart: boolean, isTextEnd: boolean): number[] {
    const { instructions } = this.machine;
    const seen = new Set<number>();
    const reached: number[] = [];
    const stack = [...starts];
    for (let index = stack.pop(); index !== undefined; index = stack.pop()) {
      if (seen.has(index)) continue;
      seen.add(index);
      const instruction = instructions[index];
      switch (instruction?.op) {
        case "jump":
        case "save":
          stack.push(instruction.next);
          break;
        case "split":
          stack.push(instruction.first, instruction.second);
          break;
        case "assert":
          if (instruction.what === "text-start" && isTextStart) stack.push(instruction.next);
          if (instruction.what === "text-end") {
            if (isTextEnd) stack.push(instruction.next);
            else reached.push(index);
          }
          break;
        case "take":
        case "match":
          reached.push(index);
          break;
      }
    }
    return reached.sort((a, b) => a - b);
  }
}
