/** The Rego engine in the engine host: what differs there is the regular expressions, BigInt, and the depth of the stack. */
import { KataError } from "../../kata-error.ts";
import { assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { formatJson, parseJson } from "./json.ts";
import { compileModules } from "./program.ts";

function value(rules: string, input = "{}"): string {
  const program = compileModules([{ name: "t.rego", text: `package t\n${rules}` }]);
  const result = program.evaluate("data.t.p", { input: parseJson(input) });
  return result.defined ? formatJson(result.value) : "undefined";
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return "none";
  } catch (error) {
    if (error instanceof KataError) return error.code;
    throw error;
  }
}

test("policies evaluate in the engine host", () => {
  const cases: [rules: string, expected: string][] = [
    ["p contains x if { some x in input.xs; x > 1 }", "[2,3]"],
    [
      'p := [y | some x in input.xs; y := sprintf("%03d-%v", [x, {"a": x}])]',
      '["001-{\\"a\\": 1}","002-{\\"a\\": 2}","003-{\\"a\\": 3}"]',
    ],
    ['p := [regex.match(`^[\\p{L}\\d]+$`, "é9"), regex.replace("abc", "(b)", "<$1>")]', '[true,"a<b>c"]'],
    ["p := 123456789012345678901234567890 * 1.5", "185185183518518518351851851835"],
    [
      'p := [crypto.sha256("a"), base64.encode("é"), json.unmarshal("[1e2]")]',
      '["ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","w6k=",[100]]',
    ],
    ['p := yaml.unmarshal("a: [1, {b: c}]\\n")', '{"a":[1,{"b":"c"}]}'],
    ["p := time.format(1e18)", '"2001-09-09T01:46:40Z"'],
  ];
  for (const [rules, expected] of cases) assertEqual(value(rules, '{"xs": [1, 2, 3]}'), expected, rules);
});

test("a policy that nests without end is refused, not a crash of the stack", () => {
  const texts = [`p := ${"[".repeat(100_000)}`, `p := ${"(".repeat(150)}1${")".repeat(150)}`];
  for (const text of texts)
    assertEqual(/^(policy-.*|none)$/.test(codeOf(() => value(text))), true, text.slice(0, 20));
});

test("functions that call each other deeply come to a limit", () => {
  const functions = Array.from({ length: 600 }, (_, i) => `f${i}(x) := f${i + 1}(x + 1)`);
  const rules = [...functions, "f600(x) := x", "p := f0(0)"].join("\n");
  assertEqual(
    codeOf(() => value(rules)),
    "policy-limit",
  );
});

runTests();
