/** Whether two expressions of `.`, `*`, `+`, classes and literals match one text in common. Source: OPA policy reference, `regex.globs_match`. */
import { compileMachine, type Machine } from "./machine.ts";
import type { Spend } from "./regex.ts";
import { RegexFault } from "./syntax.ts";

/**
 * True if some text, not empty, matches both as a whole.
 *
 * @throws RegexFault if one is no such expression.
 */
export function globsIntersect(a: string, b: string, spend: Spend): boolean {
  const left = compileMachine(wholeText(a));
  const right = compileMachine(wholeText(b));
  const points = samplePoints(a + b);
  const seen = new Set<string>();
  const queue: [readonly number[], readonly number[]][] = [[follow(left, [0]), follow(right, [0])]];
  for (let pair = queue.pop(); pair; pair = queue.pop()) {
    const [statesA, statesB] = pair;
    if (hasMatch(left, statesA) && hasMatch(right, statesB)) return true;
    for (const point of points) {
      spend(statesA.length + statesB.length);
      const nextA = advance(left, statesA, point);
      const nextB = advance(right, statesB, point);
      const key = `${nextA.join(",")};${nextB.join(",")}`;
      if (nextA.length === 0 || nextB.length === 0 || seen.has(key)) continue;
      seen.add(key);
      queue.push([nextA, nextB]);
    }
  }
  return false;
}

/** `*` and `+` keep their meaning, as do `.` and brackets; everything else is literal. */
function wholeText(glob: string): string {
  const outsideOfClasses = glob.replace(/\\[\s\S]/g, "").replace(/\[[^\]]*\]/g, "");
  if (/^[*+]/.test(glob) || /[\][]/.test(outsideOfClasses))
    throw new RegexFault(`invalid glob ${JSON.stringify(glob)}`);
  return glob.replace(/[(){}|?^$]/g, "\\$&").replace(/\[\\\^/g, "[^");
}

/** Every character that the globs name, its neighbours, and one that neither names: nothing else makes a difference. */
function samplePoints(globs: string): number[] {
  const points = new Set<number>([0xffff]);
  for (const character of globs) {
    const point = character.codePointAt(0) ?? 0;
    for (const near of [point - 1, point, point + 1]) if (near > 0) points.add(near);
  }
  return [...points];
}

function hasMatch(machine: Machine, states: readonly number[]): boolean {
  return states.some((index) => machine.instructions[index]?.op === "match");
}

function advance(machine: Machine, states: readonly number[], point: number): number[] {
  const next: number[] = [];
  for (const index of states) {
    const instruction = machine.instructions[index];
    if (instruction?.op === "take" && instruction.contains(point)) next.push(instruction.next);
  }
  return follow(machine, next);
}

function follow(machine: Machine, starts: readonly number[]): number[] {
  const seen = new Set<number>();
  const stack = [...starts];
  for (let index = stack.pop(); index !== undefined; index = stack.pop()) {
    if (seen.has(index)) continue;
    seen.add(index);
    const instruction = machine.instructions[index];
    if (instruction?.op === "split") stack.push(instruction.first, instruction.second);
    else if (instruction?.op === "jump" || instruction?.op === "save") stack.push(instruction.next);
  }
  return [...seen].sort((x, y) => x - y);
}
