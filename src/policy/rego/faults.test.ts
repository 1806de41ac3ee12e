import fc from "fast-check";
import { expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { formatModule } from "./format-module.ts";
import { fromJson } from "./json.ts";
import { compileModules } from "./program.ts";
import type { Value } from "./values.ts";

function faultOf(work: () => unknown): KataError {
  try {
    work();
  } catch (error) {
    if (error instanceof KataError) return error;
    throw error;
  }
  throw new Error("no error was reported");
}

const compile = (rules: string, v0 = false) =>
  compileModules([{ name: "t.rego", text: `package t\n${rules}` }], { v0 });

const refused: [why: string, rules: string, code: string, object: string][] = [
  ["an unknown character", "p := ~1", "policy-syntax", "t.rego:2:6"],
  ["a string without end", 'p := "a', "policy-syntax", "t.rego:2:6"],
  ["a body without if", "p { true }", "policy-syntax", "t.rego:2:3"],
  ["a lone name", "p", "policy-syntax", "t.rego:2:1"],
  ["two expressions on a line", "p if { true true }", "policy-syntax", "t.rego:2:13"],
  ["an unsafe variable", "p if x > 1", "policy-compile", "t.rego:2:6"],
  ["an unsafe head", "p := x if true", "policy-compile", "t.rego:2:6"],
  ["an unsafe variable under not", "p if not input[x]", "policy-compile", "t.rego:2:16"],
  ["an unknown function", "p := f(1)", "policy-compile", "t.rego:2:6"],
  ["the wrong number of operands", "p := count(1, 2, 3)", "policy-compile", "t.rego:2:6"],
  ["a constant of the wrong type", "p := count(1)", "policy-compile", "t.rego:2:12"],
  ["a rule that reads itself", "p := q\nq := p", "policy-compile", "t.rego:3:6"],
  ["a function that calls itself", "f(x) := f(x)\np := f(1)", "policy-compile", "t.rego:2:9"],
  ["kinds that conflict", "p := 1\np contains 2", "policy-compile", "t.rego:3:1"],
  ["two defaults", "default p := 1\ndefault p := 2", "policy-compile", "t.rego:3:1"],
  ["a name declared twice", "p if { x := 1; x := 2 }", "policy-compile", "t.rego:2:16"],
  ["a name used above its declaration", "p if { x == 1; x := 1 }", "policy-compile", "t.rego:2:8"],
  ["a parameter declared again", "f(x) := 1 if x := 2", "policy-compile", "t.rego:2:14"],
  ["arrays that can never be equal", "p if [1, 2] = [x]", "policy-compile", "t.rego:2:13"],
  ["an import of nothing", "import foo.bar", "policy-syntax", "t.rego:2:1"],
];
for (const [why, rules, code, object] of refused) {
  test(`compileModules() refuses ${why}`, () => {
    const fault = faultOf(() => compile(rules));
    expect({ code: fault.code, object: fault.object }).toEqual({ code, object });
  });
}

/** Bodies that OPA calls unsafe because of a variable that a comprehension shares with them: see closure-safety.ts. */
const sharing: [why: string, rules: string][] = [
  ["opens just what its comprehensions share", "p if { x := 0; [input.a[x], [1 | x > 1]] != 3 }"],
  ["opens it between other brackets", "p if { x := 0; input.a[input.b[[x]]] != {x | input.c} }"],
  ["opens it in a term alone", "p if { x := 0; {input.a[x]: [1 | x > 1]} }"],
  ["is a call without an output", "p if { x := 0; f(input.a[x], [1 | x > 1]) }\nf(a, b) := 1"],
  ["is a call whose output is a constant", "p if { x := 0; count([input.a[x], [1 | x > 1]], 2) }"],
  ["opens all that they share", "p if { some x, y in input.a; [input.a[x], input.a[y], [x | y]] != 3 }"],
  ["gives them their variable itself", "p if { z = [input.a[x], [1 | x > 1]] }"],
  ["gives it to a member of the same equation", "p if { [x, y] = [1, [1 | x > 0]] }"],
  ["holds their call, which comes first", "p if { input.a[x] + count([1 | x > 0]) > 1 }"],
  ["is the value of a modifier", "p if { q with input.b as [input.a[x], [1 | x > 1]] }\nq := 1"],
];
for (const [why, rules] of sharing) {
  test(`compileModules() calls a shared variable unsafe where its expression ${why}`, () => {
    const { code, hint } = faultOf(() => compile(rules));
    expect([code, hint?.slice(0, 15)]).toEqual(["policy-compile", "var x is unsafe"]);
  });
}

test("compileModules() names the unsafe variable of a head, not the place that holds it", () => {
  const { object, hint } = faultOf(() => compile("p := [y]"));
  expect([object, hint]).toEqual(["t.rego:2:7", "var y is unsafe"]);
});

test("compileModules() refuses to print what only the print would go through", () => {
  expect(faultOf(() => compile("p if { print(input[_]) }")).hint).toBe("var _ is unsafe");
});

const conflicts: [what: string, rules: string][] = [
  ["two values of a complete rule", "p := 1 if input.x\np := 2 if input.x"],
  ["two values of a function", "f(x) := x\nf(x) := x + 1\np := f(1)"],
  ["two values of one key", "p[x] := y if { x := 1; some y in [1, 2] }"],
  ["two values in an object comprehension", "p := {1: x | some x in [1, 2]}"],
];
for (const [what, rules] of conflicts) {
  test(`evaluate() reports ${what}`, () => {
    const program = compile(rules);
    expect(faultOf(() => program.evaluate("data.t.p with input.x as true; true")).code).toBe(
      "policy-evaluation",
    );
  });
}

test("evaluate() makes a failing builtin undefined unless errors are strict", () => {
  const program = compile("p := to_number(input.x)");
  expect(program.evaluate('data.t.p with input.x as "a"', { strictBuiltinErrors: false })).toEqual({
    defined: false,
  });
  const fault = faultOf(() =>
    program.evaluate('x := data.t.p with input.x as "a"', { strictBuiltinErrors: true }),
  );
  expect([fault.code, fault.object]).toEqual(["policy-evaluation", "t.rego:2:6"]);
});

const endless: [what: string, rules: string, limits: object, object: string][] = [
  [
    "steps",
    "p := count([1 | some a in numbers.range(1, 999); some b in numbers.range(1, 999)])",
    { steps: 10_000 },
    "steps",
  ],
  ["memory", "p := numbers.range(1, 100000000000)", {}, "memory"],
  ["memory of strings", 'p := replace(input.s, "", input.s)', { memory: 1000 }, "memory"],
  [
    "depth",
    [...Array.from({ length: 60 }, (_, i) => `f${i}(x) := f${i + 1}(x)`), "f60(x) := x", "p := f0(1)"].join(
      "\n",
    ),
    { depth: 50 },
    "depth",
  ],
];
for (const [what, rules, limits, object] of endless) {
  test(`evaluate() ends at the limit of ${what}`, () => {
    const fault = faultOf(() => compile(rules).evaluate("data.t.p", { limits, ...inputOf(what) }));
    expect([fault.code, fault.object]).toEqual(["policy-limit", object]);
  });
}

function inputOf(what: string): { input?: Value } {
  return what === "memory of strings" ? { input: fromJson({ s: "x".repeat(1000) }) } : {};
}

test("compileModules() refuses terms nested without end instead of exhausting the stack", () => {
  for (const text of [
    "[".repeat(100_000),
    `p := ${"(".repeat(10_000)}`,
    `p if ${"not ".repeat(50_000)}true`,
  ]) {
    expect(faultOf(() => compile(text)).code).toMatch(/^policy-/);
  }
});

const words = fc.constantFrom(
  ...'p q x y f data input [ ] { } ( ) := = == | & + - * , ; : . 1 2 "a" `r` some in every not if else with as contains default import package count concat true null _ $"{x}"'.split(
    " ",
  ),
  "\n",
  " ",
);

test("any text is a policy or a fault of the policy, and evaluates within its limits", () => {
  fc.assert(
    fc.property(fc.array(words, { maxLength: 40 }), fc.boolean(), (tokens, v0) => {
      try {
        compile(tokens.join(" "), v0).evaluate("data", {
          limits: { steps: 20_000, memory: 20_000, depth: 50 },
        });
      } catch (error) {
        expect(error).toBeInstanceOf(KataError);
        expect((error as KataError).code).toMatch(/^policy-/);
      }
    }),
    { numRuns: 3000 },
  );
});

test("formatModule() gives a text that it leaves as it is", () => {
  const text =
    'package a\nimport rego.v1\n# c\np contains   x if {some x in [1,2];x>1} # d\n\n\nq := {"a":1,\n"b":[2]} if { (1|2)==3 }\ndefault r = false';
  const once = formatModule("a.rego", text, "v1");
  expect(once).toContain("package a\n\nimport rego.v1\n\n# c\n");
  expect(formatModule("a.rego", once, "v1")).toBe(once);
});

test("compileModules() reads deeply nested terms in time linear in their length", () => {
  for (const [open, close] of [
    ["[", "]"],
    ["{", "}"],
    ["{1: ", "}"],
    ['$"{', '}"'],
  ] as const) {
    compile(`p := ${open.repeat(60)}1${close.repeat(60)}`);
  }
});

/** `x40` after forty doublings of `x0`. */
const doubled = (start: string, step: (x: string) => string) =>
  `x0 := ${start}\n${Array.from({ length: 40 }, (_, i) => `x${i + 1} := ${step(`x${i}`)}`).join("\n")}`;

const exploding: [what: string, rules: string, object: string][] = [
  [
    "a number's digits",
    `p := x40 if {\n${doubled("12345678901", (x) => `${x} * ${x}`)}\n}`,
    "digits of a number",
  ],
  [
    "a number's exponent",
    `p := x40 if {\n${doubled("1e300", (x) => `${x} * ${x}`)}\n}`,
    "digits of a number",
  ],
  ["a result that shares its parts", `p := x40 if {\n${doubled("[1]", (x) => `[${x}, ${x}]`)}\n}`, "steps"],
  [
    "a text of shared parts",
    `p := json.marshal(x40) if {\n${doubled("[1]", (x) => `[${x}, ${x}]`)}\n}`,
    "memory",
  ],
  ["a key of shared parts", `p := {x40} if {\n${doubled("{1}", (x) => `{${x}: ${x}}`)}\n}`, "memory"],
  [
    "a comparison of shared parts",
    `p if {\n${doubled("[1]", (x) => `[${x}, ${x}]`)}\n${doubled("[1]", (x) => `[${x}, ${x}]`).replaceAll("x", "y")}\nx40 == y40\n}`,
    "steps",
  ],
];
for (const [what, rules, object] of exploding) {
  test(`evaluate() bounds ${what}`, () => {
    const limits = { steps: 1_000_000, memory: 1_000_000 };
    const fault = faultOf(() => compile(rules).evaluate("data.t.p", { limits }));
    expect([fault.code, fault.object]).toEqual(["policy-limit", object]);
  });
}
