import fc from "fast-check";
import { expect, test } from "vitest";
import { Regex } from "./regex.ts";
import { RegexFault } from "./syntax.ts";

const free = () => undefined;

/** Expressions that mean the same to Go and to JavaScript. */
const pattern = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom("a", "b", "c", ".", "[ab]", "[^a]", "\\w", "^", "$", "\\b"),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => a + b),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `(?:${a}|${b})`),
    fc
      .tuple(
        fc.constantFrom("a", "[bc]", "(?:ab)", "(?:a|bc)"),
        fc.constantFrom("*", "+", "?", "*?", "+?", "{1,2}"),
      )
      .map(([a, b]) => a + b),
    tie("expression").map((a) => `(${a})`),
  ),
})).expression;

test("matches are those of a backtracking engine", () => {
  fc.assert(
    fc.property(
      pattern,
      fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 }),
      (source, text) => {
        const regex = new Regex(source);
        const expected = new RegExp(source, "u").exec(text);
        expect(regex.test(text, free)).toBe(expected !== null);
        const found = regex.find(text, 0, free);
        expect(found && text.slice(found[0], found[1])).toBe(expected?.[0]);
        if (expected) expect(found?.[0]).toBe(expected.index);
      },
    ),
    { numRuns: 3000 },
  );
});

test("the work grows with the length of the text, not with the ways to match it", () => {
  const steps = (length: number) => {
    let count = 0;
    new Regex("^(a+)+$").test(`${"a".repeat(length)}b`, (more) => {
      count += more;
    });
    new Regex("(x+x+)+y").find("x".repeat(length), 0, (more) => {
      count += more;
    });
    return count;
  };
  expect(steps(2000)).toBeLessThan(steps(1000) * 2.5);
});

for (const source of [
  "(",
  ")",
  "[a",
  "a**",
  "*",
  "a{2,1}",
  "a{1001}",
  "(?=a)",
  "(?<!a)",
  "\\1",
  "\\y",
  "(?P<a>x)(?P<a>y)",
  "[b-a]",
  "\\p{Nope}",
  "(?z)",
]) {
  test(`${source} is refused, as by Go`, () => {
    expect(() => new Regex(source)).toThrow(RegexFault);
  });
}

const matching: [source: string, text: string, expected: string | undefined][] = [
  ["(?i)straSSe", "STRASSE", "STRASSE"],
  ["(?s)a.b", "a\nb", "a\nb"],
  ["a.b", "a\nb", undefined],
  ["(?m)^b$", "a\nb\nc", "b"],
  ["\\Qa.b\\E+", "a.bbb", "a.bbb"],
  ["[[:alpha:]]+", "12ab", "ab"],
  ["\\pL+", "1äб2", "äб"],
  ["[^\\d\\s]+", "1 ab", "ab"],
  ["(?U)a+", "aaa", "a"],
  ["\\x41\\x{1F600}\\101", "A😀A", "A😀A"],
  ["a|ab", "ab", "a"],
  ["\\Bb", "ab b", "b"],
  ["a{,2}", "a{,2}", "a{,2}"],
];
for (const [source, text, expected] of matching) {
  test(`${source} finds ${expected} in ${JSON.stringify(text)}`, () => {
    const found = new Regex(source).find(text, 0, free);
    expect(found && text.slice(found[0], found[1])).toBe(expected);
  });
}
