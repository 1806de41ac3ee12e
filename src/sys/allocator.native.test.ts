/** The engine's memory (`native/allocator.h`), through what a program does with it. */
import { assert, assertEqual, runTests, test } from "./testing/native-test.ts";

/** Marsaglia's xorshift: the same order in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

test("blocks of all sizes keep their bytes while others come and go", () => {
  const random = randomNumbers(7);
  const blocks: Uint8Array[] = [];
  const fresh = (mark: number) => new Uint8Array(1 + random(1200)).fill(mark);
  for (let index = 0; index < 500; index++) blocks.push(fresh(index & 0xff));
  for (let turn = 0; turn < 20_000; turn++) {
    const index = random(blocks.length);
    const block = blocks[index] ?? new Uint8Array(0);
    const mark = index & 0xff;
    assert(block[0] === mark && block.at(-1) === mark, `block ${index} keeps its ends`);
    if (turn % 50 === 0)
      assert(
        block.every((byte) => byte === mark),
        `block ${index} keeps its bytes`,
      );
    blocks[index] = fresh(mark);
  }
});

test("lists and texts keep what they hold while they grow from small blocks to large ones", () => {
  const lists: number[][] = Array.from({ length: 50 }, () => []);
  let text = "";
  for (let value = 0; value < 1000; value++) {
    for (const list of lists) list.push(value);
    text += String.fromCharCode(97 + (value % 26));
  }
  const expected = Array.from({ length: 1000 }, (_, value) => value);
  for (const list of lists) assertEqual(list, expected);
  for (const list of lists) list.length = 3;
  for (const list of lists) assertEqual(list, [0, 1, 2]);
  assert(
    text.length === 1000 && text.startsWith("abc") && text.charCodeAt(999) === 97 + (999 % 26),
    "the text is whole",
  );
});

runTests();
