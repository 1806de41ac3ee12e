/** Regular expressions as programs of a non-deterministic machine. Source: Cox, "Regular Expression Matching: the Virtual Machine Approach". */
import type { Contains } from "./character-class.ts";
import { type Assertion, type Node, parseRegex, RegexFault } from "./syntax.ts";

export type Instruction =
  | { readonly op: "take"; readonly contains: Contains; readonly next: number }
  | { readonly op: "split"; readonly first: number; readonly second: number }
  | { readonly op: "jump"; readonly next: number }
  | { readonly op: "save"; readonly slot: number; readonly next: number }
  | { readonly op: "assert"; readonly what: Assertion; readonly next: number }
  | { readonly op: "match" };

export interface Machine {
  readonly instructions: readonly Instruction[];
  readonly names: readonly (string | undefined)[];
  /** Has an assertion that looks at the character after the place. */
  readonly looksAhead: boolean;
  /** Every match begins where the text does. */
  readonly anchored: boolean;
  /** Text that every match begins with. */
  readonly prefix: string;
}

/** Most instructions: bounds the work per character. */
const MAX_INSTRUCTIONS = 20_000;

export function compileMachine(pattern: string): Machine {
  const { root, names } = parseRegex(pattern);
  const builder = new Builder();
  builder.add(root);
  builder.push({ op: "match" });
  const { instructions } = builder;
  const looksAhead = instructions.some(({ op, ...rest }) => {
    return (
      op === "assert" &&
      "what" in rest &&
      rest.what !== "text-start" &&
      rest.what !== "text-end" &&
      rest.what !== "line-start"
    );
  });
  return { instructions, names, looksAhead, anchored: startsAnchored(root), prefix: literalPrefix(root) };
}

function startsAnchored(node: Node): boolean {
  if (node.kind === "assert") return node.what === "text-start";
  if (node.kind === "sequence") return node.items[0] !== undefined && startsAnchored(node.items[0]);
  if (node.kind === "group") return startsAnchored(node.body);
  return node.kind === "alternatives" && node.items.every(startsAnchored);
}

function literalPrefix(node: Node): string {
  if (node.kind === "class") return node.literal === undefined ? "" : String.fromCodePoint(node.literal);
  if (node.kind !== "sequence") return "";
  let prefix = "";
  for (const [index, item] of node.items.entries()) {
    if (index === 0 && item.kind === "assert" && item.what === "text-start") continue;
    if (item.kind !== "class" || item.literal === undefined) break;
    prefix += String.fromCodePoint(item.literal);
  }
  return prefix;
}

class Builder {
  readonly instructions: Instruction[] = [];

  push(instruction: Instruction): number {
    if (this.instructions.length >= MAX_INSTRUCTIONS) throw new RegexFault("expression too large");
    return this.instructions.push(instruction) - 1;
  }

  private get next(): number {
    return this.instructions.length;
  }

  add(node: Node): void {
    switch (node.kind) {
      case "empty":
        return;
      case "class":
        this.push({ op: "take", contains: node.contains, next: this.next + 1 });
        return;
      case "assert":
        this.push({ op: "assert", what: node.what, next: this.next + 1 });
        return;
      case "group":
        this.push({ op: "save", slot: 2 * node.index, next: this.next + 1 });
        this.add(node.body);
        this.push({ op: "save", slot: 2 * node.index + 1, next: this.next + 1 });
        return;
      case "sequence":
        for (const item of node.items) this.add(item);
        return;
      case "alternatives":
        this.addAlternatives(node.items);
        return;
      case "repeat":
        this.addRepeat(node);
        return;
    }
  }

  private addAlternatives(items: readonly Node[]): void {
    const exits: number[] = [];
    items.forEach((item, i) => {
      if (i === items.length - 1) {
        this.add(item);
        return;
      }
      const split = this.push({ op: "match" });
      this.add(item);
      exits.push(this.push({ op: "match" }));
      this.instructions[split] = { op: "split", first: split + 1, second: this.next };
    });
    for (const exit of exits) this.instructions[exit] = { op: "jump", next: this.next };
  }

  private addRepeat({ body, min, max, greedy }: Extract<Node, { kind: "repeat" }>): void {
    for (let i = 0; i < min; i++) this.add(body);
    if (max === Number.POSITIVE_INFINITY) {
      const split = this.push({ op: "match" });
      this.add(body);
      this.push({ op: "jump", next: split });
      this.setSplit(split, this.next, greedy);
      return;
    }
    const splits: number[] = [];
    for (let i = min; i < max; i++) {
      splits.push(this.push({ op: "match" }));
      this.add(body);
    }
    for (const split of splits) this.setSplit(split, this.next, greedy);
  }

  private setSplit(split: number, exit: number, greedy: boolean): void {
    this.instructions[split] = greedy
      ? { op: "split", first: split + 1, second: exit }
      : { op: "split", first: exit, second: split + 1 };
  }
}
