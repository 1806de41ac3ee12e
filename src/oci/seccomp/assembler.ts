/**
 * Puts together a classic BPF program, last instruction first.
 *
 * Jumps only go forward, so that whatever an instruction jumps to is already there when it is written, and the distance is
 * known at once. A conditional jump reaches 255 instructions; farther targets get an unconditional jump (or another
 * copy of the return) in between.
 * Source: Linux Documentation/networking/filter.rst, linux/filter.h, linux/seccomp.h.
 */
import { KataError } from "../../kata-error.ts";

/** The kernel's bound (`BPF_MAXINSNS`). */
export const MAX_INSTRUCTIONS = 4096;
/** Size of struct sock_filter. */
export const INSTRUCTION_BYTES = 8;

const LOAD_WORD_ABSOLUTE = 0x20;
const AND_CONSTANT = 0x54;
const JUMP_ALWAYS = 0x05;
const RETURN_CONSTANT = 0x06;
export const JUMP_EQUAL = 0x15;
export const JUMP_GREATER = 0x25;
export const JUMP_GREATER_OR_EQUAL = 0x35;

/** Farthest target of a conditional jump; one less than the field holds, as one more instruction may come in between. */
const REACH = 254;

/** An instruction that has been written: its distance from the end of the program. */
export type Label = number;

/** Where control goes: to an instruction or out of the program with a value. */
export type Target =
  | { readonly kind: "label"; readonly label: Label }
  | { readonly kind: "return"; readonly value: number };

export class FilterAssembler {
  /** Last instruction of the program first: code | jt << 16 | jf << 24, and k. */
  readonly #heads: number[] = [];
  readonly #operands: number[] = [];
  /** The newest return of each value. */
  readonly #returns = new Map<number, Label>();

  /** Writes the load of the word at `offset` of the data, in front of what was written last. */
  load(offset: number): Target {
    return { kind: "label", label: this.#write(LOAD_WORD_ABSOLUTE, 0, 0, offset) };
  }

  /** Writes `accumulator &= mask`, in front of what was written last. */
  and(mask: number): void {
    this.#write(AND_CONSTANT, 0, 0, mask);
  }

  /** Writes a comparison of the accumulator with `operand`. */
  branch(code: number, operand: number, ifTrue: Target, ifFalse: Target): Target {
    const far = this.#near(ifTrue);
    const near = this.#near(ifFalse);
    const at = this.#heads.length;
    return { kind: "label", label: this.#write(code, at - far - 1, at - near - 1, operand) };
  }

  /** Makes sure that `target` is what comes next, for an instruction that falls through to it. */
  continueWith(target: Target): void {
    const front = this.#heads.length - 1;
    if (target.kind === "label") {
      if (target.label !== front) this.#write(JUMP_ALWAYS, 0, 0, front - target.label);
    } else if (this.#returns.get(target.value) !== front) {
      this.#return(target.value);
    }
  }

  /** The program: its length is a multiple of {@link INSTRUCTION_BYTES}. */
  assemble(): Uint8Array {
    const count = this.#heads.length;
    const words = new Uint32Array(count * 2);
    for (let index = 0; index < count; index++) {
      words[index * 2] = this.#heads[count - 1 - index] ?? 0;
      words[index * 2 + 1] = this.#operands[count - 1 - index] ?? 0;
    }
    // Both architectures are little-endian, as the structure then is.
    return new Uint8Array(words.buffer);
  }

  #near(target: Target): Label {
    const known = target.kind === "label" ? target.label : this.#returns.get(target.value);
    const next = this.#heads.length;
    if (known !== undefined && next - known - 1 <= REACH) return known;
    if (target.kind === "return") return this.#return(target.value);
    return this.#write(JUMP_ALWAYS, 0, 0, next - target.label - 1);
  }

  #return(value: number): Label {
    const label = this.#write(RETURN_CONSTANT, 0, 0, value);
    this.#returns.set(value, label);
    return label;
  }

  #write(code: number, ifTrue: number, ifFalse: number, operand: number): Label {
    if (this.#heads.length >= MAX_INSTRUCTIONS) {
      throw new KataError("invalid-argument", {
        operation: "compile seccomp filter",
        object: `more than ${MAX_INSTRUCTIONS} instructions`,
        hint: "the kernel takes no longer program; use fewer rules with arguments",
      });
    }
    this.#operands.push(operand >>> 0);
    return this.#heads.push((code | (ifTrue << 16) | (ifFalse << 24)) >>> 0) - 1;
  }
}
