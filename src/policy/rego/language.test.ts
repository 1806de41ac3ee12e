import { describe, expect, test } from "vitest";
import { formatRego, fromJson } from "./json.ts";
import { compileModules } from "./program.ts";

/** The value of `data.t.p` as Rego text, or "undefined". */
function evaluate(
  rules: string,
  input: unknown = {},
  options: { v0?: boolean; data?: unknown } = {},
): string {
  const program = compileModules([{ name: "t.rego", text: `package t\n${rules}` }], {
    v0: options.v0 ?? false,
  });
  const result = program.evaluate("data.t.p", { input: fromJson(input), data: fromJson(options.data ?? {}) });
  return result.defined ? formatRego(result.value) : "undefined";
}

const areas: Record<string, [what: string, rules: string, expected: string, input?: unknown][]> = {
  "complete rules": [
    ["have the value of their head", "p := 1", "1"],
    ["are true without a value", "p if 1 < 2", "true"],
    ["are undefined if the body fails", "p if 1 > 2", "undefined"],
    ["may give the same value twice", "p := 1 if true\np := 1 if true", "1"],
    ["fall back to the default", "default p := 7\np := 1 if false", "7"],
    ["go on to else in order", "p := 1 if false\nelse := 2 if true\nelse := 3", "2"],
    ["take an object literal after if", 'p if {"a": 1}', "true"],
    ["go through references in the head", "p := [1, 2, 3][i] if { i := 1 }", "2"],
  ],
  "partial rules": [
    ["make sets", "p contains x if some x in [1, 2, 1]", "{1, 2}"],
    ["make objects", "p[k] := v if some k, v in {1: 2}", "{1: 2}"],
    ["make objects in objects", "p[k].x[v] := true if some k, v in [5]", '{0: {"x": {5: true}}}'],
    ["make sets in objects", "p[k] contains v if some k, v in [5, 6]", "{0: {5}, 1: {6}}"],
    ["merge with fixed names below", 'p.a := 1\np[k] := 2 if k := "b"', '{"a": 1, "b": 2}'],
    ["are empty without solutions", "p contains 1 if false", "set()"],
  ],
  functions: [
    ["take patterns", 'f([x, {"k": y}]) := x + y\np := f([1, {"k": 2}])', "3"],
    ["try every definition", 'f("a") := 1\nf("b") := 2\np := f("b")', "2"],
    ["have defaults", "default f(_) := 0\nf(x) := 1 if x > 5\np := [f(6), f(1)]", "[1, 0]"],
    ["have else", "f(x) := 1 if x > 5\nelse := 2\np := [f(6), f(1)]", "[1, 2]"],
    [
      "match a repeated parameter with equal values only",
      "f(x, x) := true\np := [y | some y in [1, 2]; f(y, 1)]",
      "[1]",
    ],
    ["give their result to a further operand", "f(x) := x * 2\np := y if f(4, y)", "8"],
  ],
  bodies: [
    ["are met in the order that safety asks for", "p if { x > 1; x = 2 }", "true"],
    [
      "let a call in an operand give the variable that the rest of its expression waits for",
      "p := [x | count(input[x]) > y; y = x]",
      "[0]",
      [[1], [2]],
    ],
    [
      "go through the value of a modifier",
      "p := {x | x := input.b with input.b as input.a[_]}",
      "{1, 2}",
      { a: [1, 2] },
    ],
    [
      "share a variable with a comprehension once another expression gave it",
      "p := [x | some x in [0, 1]; y := input[x]; y != [1 | x > 0]]",
      "[0, 1]",
      [1, 2],
    ],
    [
      "share one of two variables between brackets with a comprehension",
      "p := [[x, k] | some x in [0, 1]; some k in [1]; [input[x], input[k], [1 | x > 0]] != 3]",
      "[[0, 1], [1, 1]]",
      [1, 2],
    ],
    ["unify in both directions", "p := [x, y] if { [x, 2] = [1, y] }", "[1, 2]"],
    ["match nested patterns", 'p := [a, b] if { {"x": [a, b]} = input }', "[1, 2]", { x: [1, 2] }],
    ["join through shared variables", "p contains v if { some i; v := [1, 2][i]; [1, 3][i] == v }", "{1}"],
    ["use a key both as index and value", "p contains i if { x := [1, 1, 2][i]; x == i }", "{1, 2}"],
    ["look up computed keys", 'p := input[concat("", ["a", "b"])]', "1", { ab: 1 }],
    [
      "compute the operands of a negated call before the negation, as OPA does",
      "p := [x | some x in [1]; not count(input.absent) > x]",
      "[]",
    ],
    [
      "keep references within a negated equality",
      "p if { not input.absent == 1; not input.absent.x[0] }",
      "true",
    ],
    [
      "negate bodies once that is imported",
      "import future.keywords.not\np if not { x := 1; x > input.n }",
      "true",
      { n: 1 },
    ],
    [
      "join and, or and parentheses",
      "import rego.v2\np := [x | some x in [1, 2, 3, 4]; (x > 1 or input.all) and { y := x; y < 4 } and not x == 2]",
      "[3]",
    ],
    [
      "put 'with' around a whole and",
      'import rego.v2\np if input.x > 0 and input.y > 0 with input as {"x": 1, "y": 1}',
      "true",
    ],
    ["negate", "p if { not input.missing; not 1 == 2 }", "true"],
    ["hold for every member", 'p if every k, v in {"a": "a"} { k == v }', "true"],
    ["hold for every member of nothing", "p if every x in [] { x == 1 }", "true"],
    ["test membership of pairs", "p := [(0, 5 in [5]), 1 in {7: 1}]", "[true, true]"],
  ],
  comprehensions: [
    [
      "make arrays, sets and objects",
      "p := [[x | some x in {2, 1}], {x | some x in [1, 1]}, {x: y | some x, y in [7]}]",
      "[[1, 2], {1}, {0: 7}]",
    ],
    ["see the variables around", "p := [y | some x in [1, 2]; y := [z | z := x + 1]]", "[[2], [3]]"],
    ["keep their own variables", "p := [a, b] if { a := [x | x := 1]; b := [x | x := 2] }", "[[1], [2]]"],
    ["are told from unions by their first term", "a := {1}\nb := {2}\np := [(a | b) | true]", "[{1, 2}]"],
  ],
  with: [
    [
      "replaces the input",
      "q := input.x\np := [y, input.x] if { y := q with input.x as 2 }",
      "[2, 1]",
      { x: 1 },
    ],
    ["replaces data", "p := x if { x := data.a.b with data.a.b as 3 }", "3"],
    [
      "replaces rules",
      "q := 1\np := [x, q] if { x := q with q as 2 }".replace("with q", "with data.t.q"),
      "[2, 1]",
    ],
    ["replaces builtins by values", "p := x if { x := count([1]) with count as 9 }", "9"],
    ["replaces functions by functions", "f(x) := x\ng(x) := x + 1\np := y if { y := f(1) with f as g }", "2"],
    [
      "lets a replacement call what it replaces",
      "f(x) := count(x) + 1\np := y if { y := count([1]) with count as f }",
      "2",
    ],
    ["ends with its expression", "p := [x, y] if { x := input with input as 1; y := input }", "[1, {}]"],
  ],
  references: [
    ["reach through sets", "s := {[1, 2], [1, 3]}\np contains y if s[[1, y]]", "{2, 3}"],
    ["reach packages", "q := 1\np := data.t.q", "1"],
    ["reach rules by a computed name", 'q := 1\nr := 2\np := [data.u[x] | x := "a"]', "[]"],
    ["may be made of keywords after a dot", "p := input.if.default", "1", { if: { default: 1 } }],
  ],
  strings: [
    ["keep backslashes when raw", "p := `a\\n`", '"a\\\\n"'],
    ["interpolate", 'x := 2\np := $"a{x}b{input.missing}"', '"a2b<undefined>"'],
  ],
};

for (const [area, cases] of Object.entries(areas)) {
  describe(area, () => {
    for (const [what, rules, expected, input] of cases) {
      test(`${area} ${what}`, () => {
        expect(evaluate(rules, input)).toBe(expected);
      });
    }
  });
}

test("v0 modules take bodies without if, sets in brackets and further bodies", () => {
  expect(evaluate("p[x] { x = 1 } { x = 2 }", {}, { v0: true })).toBe("{1, 2}");
  expect(evaluate("import future.keywords.if\np[x] if { x := 1 }", {}, { v0: true })).toBe("{1: true}");
  expect(evaluate("p = x { x = in }\nin = 3", {}, { v0: true })).toBe("3");
});

test("rules and base data under one package are one document", () => {
  const program = compileModules([{ name: "t.rego", text: "package a.b\nx := 1" }]);
  const result = program.evaluate("data.a", { data: fromJson({ a: { y: 2, b: { z: 3 } } }) });
  expect(result.defined && formatRego(result.value)).toBe('{"b": {"x": 1, "z": 3}, "y": 2}');
});

test("evaluateRule() sees new data at each call without compiling again", () => {
  const program = compileModules([
    { name: "t.rego", text: "package agent\nallowed := data.pstate.count < 2" },
  ]);
  const allowed = (count: number) =>
    program.evaluateRule("data.agent.allowed", { data: fromJson({ pstate: { count } }) });
  expect(allowed(1)).toEqual({ defined: true, value: true });
  expect(allowed(2)).toEqual({ defined: true, value: false });
  expect(program.evaluateRule("data.agent.missing")).toEqual({ defined: false });
});

test("the rule index leaves results as they are without it", () => {
  const rules = Array.from({ length: 20 }, (_, i) => `p := ${i} if input.k == "k${i}"`).join("\n");
  for (let i = 0; i < 20; i++) expect(evaluate(rules, { k: `k${i}` })).toBe(`${i}`);
  expect(evaluate(rules, { k: "other" })).toBe("undefined");
  expect(evaluate(`${rules}\np := 99 if input.any`, { k: "other", any: true })).toBe("99");
});

test("print shows undefined operands and where it stands", () => {
  const lines: string[] = [];
  const program = compileModules([
    { name: "t.rego", text: 'package t\np if {\n  print("x", input.missing, {1, "a"})\n}' },
  ]);
  program.evaluate("data.t.p", { onPrint: (text, at) => lines.push(`${at.file}:${at.line}: ${text}`) });
  expect(lines).toEqual(['t.rego:3: x <undefined> {1, "a"}']);
});
