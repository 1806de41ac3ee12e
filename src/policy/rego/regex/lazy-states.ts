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

  constructor(machine: Machine) {
    this.machine = machine;
  }

  test(text: string, spend: Spend): boolean {
    this.start ??= this.state([0], true);
    let state = this.start;
    for (let at = 0; at < text.length; ) {
      if (state.matches) return true;
      if (state.waiting.length === 0 && this.machine.anchored) return false;
      const point = text.codePointAt(at) ?? 0;
      at += point > 0xffff ? 2 : 1;
      let next = state.next.get(point);
      if (next) {
        spend(1);
      } else {
        spend(state.waiting.length + 1);
        next = this.advance(state, point);
        if (state.next.size < MAX_TRANSITIONS) state.next.set(point, next);
      }
      state = next;
    }
    return state.matches || state.matchesAtEnd;
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
