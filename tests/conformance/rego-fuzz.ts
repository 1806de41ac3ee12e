/**
 * Throws random policies and inputs at the Rego engine.
 *
 *   npx tsx tests/conformance/rego-fuzz.ts [COUNT] [SEED]
 *
 * Every policy has to compile or be refused with a KataError, and every evaluation has to end within its limits with a
 * value or a KataError. Anything else is a crash; one that takes longer than {@link MAX_MS} hangs. Both are printed with
 * the seed that brings them back, and the exit status is then 1.
 */
import { KataError } from "../../src/kata-error.ts";
import { ALL_BUILTINS } from "../../src/policy/rego/builtins/all.ts";
import { formatJson, fromJson, type Json } from "../../src/policy/rego/json.ts";
import { compileModules } from "../../src/policy/rego/program.ts";
import { nodeProviders } from "../../src/policy/rego-cli/node-providers.ts";
import { Dice, generateProgram, INPUT } from "./rego-generator.ts";

/** Small, so that many evaluations come to a limit. */
const LIMITS = { steps: 50_000, depth: 60, memory: 50_000 };
/** Milliseconds of processor time for one policy, a hundred times what it takes: a busy machine does not count. */
const MAX_MS = 5000;
const PROGRESS_EVERY = 50_000;

const STRINGS = [
  "",
  "a",
  "hello world",
  "%5.3d|%-x|%v|%[2]*.[1]*f|%s",
  "(a|b)*c+[^x-z]{2,5}$",
  "((a*)*)*b",
  "\\\\pL+(?i:x)\\\\b",
  "*.{a,b}?[!c-d]",
  "10.0.0.0/8",
  "fe80::1/64",
  "2006-01-02T15:04:05Z",
  "1h2.5m",
  "1.2.3-rc.1+x",
  "10Gi",
  "eyJhbGciOiJIUzI1NiJ9.e30.x",
  "YQ==",
  "a=1&b=%20c",
  "http://u@h:80/p%20q?x#y",
  "k: [1, {a: b}]\\n- x",
  '{\\"a\\": [1, 2e400]}',
  "/a/~1b/-",
  "\\u00e9\\ud83d\\ude00",
  "{{.a}} {{ .b }}",
  "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
];
const NUMBERS = [
  "0",
  "1",
  "-1",
  "2",
  "3.5",
  "1e3",
  "100",
  "1e19",
  "1e-7",
  "123456789012345678901234567890",
  "1e400",
  "64",
];

function literal(dice: Dice, depth: number): string {
  switch (dice.below(depth === 0 ? 3 : 7)) {
    case 0:
      return `"${dice.pick(STRINGS)}"`;
    case 1:
      return dice.pick(NUMBERS);
    case 2:
      return dice.pick(["true", "false", "null", "input", "input.xs", "input.o", "input.s"]);
    case 3:
      return `[${list(dice, depth)}]`;
    case 4:
      return `{${literal(dice, depth - 1)}: ${literal(dice, depth - 1)}, ${literal(dice, depth - 1)}: 1}`;
    case 5:
      return `{${literal(dice, depth - 1)}, ${literal(dice, depth - 1)}}`;
    default:
      return call(dice, depth - 1);
  }
}

function list(dice: Dice, depth: number): string {
  return Array.from({ length: dice.below(4) }, () => literal(dice, depth - 1)).join(", ");
}

const NAMES = Object.keys(ALL_BUILTINS).filter((name) => !/^(eq|assign|internal|print|rego)/.test(name));
const BY_TYPE: Readonly<Record<string, (dice: Dice, depth: number) => string>> = {
  string: (dice) => `"${dice.pick(STRINGS)}"`,
  number: (dice) => dice.pick(NUMBERS),
  array: (dice, depth) => `[${list(dice, Math.max(depth, 1))}]`,
  set: (dice, depth) => `{z | some z in [${list(dice, Math.max(depth, 1))}]}`,
  object: (dice, depth) => `{"a": ${literal(dice, depth)}, "b": ${literal(dice, depth)}}`,
};

/** @param variables names that operands may have in the place of values. */
function call(dice: Dice, depth: number, variables: readonly string[] = []): string {
  const name = dice.pick(NAMES);
  const operands = ALL_BUILTINS[name]?.operands ?? [];
  const args = operands.map((types) => {
    if (variables.length > 0 && dice.below(4) === 0) return dice.pick(variables);
    const make = types.length > 0 && dice.below(5) > 0 ? BY_TYPE[dice.pick(types)] : undefined;
    return make ? make(dice, Math.max(depth, 0)) : literal(dice, Math.max(depth, 0));
  });
  // Operators have no name that a policy can call.
  const known: Readonly<Record<string, string>> = {
    plus: "+",
    minus: "-",
    mul: "*",
    div: "/",
    rem: "%",
    and: "&",
    or: "|",
  };
  const operator = known[name];
  return operator && args.length === 2
    ? `(${args[0]} ${operator} ${args[1]})`
    : `${name}(${args.join(", ")})`;
}

function builtinPolicy(dice: Dice): string {
  const rules = Array.from({ length: 1 + dice.below(4) }, (_, i) => {
    const body = `some x in [${list(dice, 2)}]\n\ty := ${literal(dice, 2)}`;
    return `p${i} contains ${call(dice, 2, ["x", "y"])} if {\n\t${body}\n}`;
  });
  return `package f\n\n${rules.join("\n\n")}\n`;
}

const FRAGMENTS = [
  ...'{}[]()|:=,.;&"`$#\n_\\',
  ":=",
  " if ",
  " contains ",
  " some ",
  " every ",
  " in ",
  " not ",
  " with input as ",
  " else ",
  "default ",
  "import future.keywords.and\n",
  " and ",
  " or ",
  "x",
  "data.f",
  "[_]",
  "1e999",
  "{",
  "\u0000",
  "\ud800",
];

function mutated(text: string, dice: Dice): string {
  let result = text;
  for (let i = 0; i < 1 + dice.below(6); i++) {
    const at = dice.below(result.length + 1);
    const length = dice.below(12);
    const piece =
      dice.below(3) === 0
        ? result.slice(dice.below(result.length + 1)).slice(0, dice.below(40))
        : dice.pick(FRAGMENTS);
    result =
      dice.below(2) === 0
        ? result.slice(0, at) + piece + result.slice(at)
        : result.slice(0, at) + result.slice(at + length);
  }
  return result;
}

function randomInput(dice: Dice, depth: number): Json {
  switch (dice.below(depth === 0 ? 3 : 6)) {
    case 0:
      return dice.pick(STRINGS);
    case 1:
      return dice.below(2000) - 1000;
    case 2:
      return dice.pick([true, false, null, 1.5, 2 ** 53, "hello", 1e300]);
    case 3:
      return Array.from({ length: dice.below(5) }, () => randomInput(dice, depth - 1));
    default:
      return Object.fromEntries(
        ["n", "s", "xs", "o", "rows", "a"]
          .slice(dice.below(6))
          .map((key) => [key, randomInput(dice, depth - 1)]),
      );
  }
}

type Ending = "value" | "undefined" | "refused" | "failed" | "limited";

function runOne(text: string, input: Json, dice: Dice): Ending {
  let ending: Ending = "refused";
  try {
    const program = compileModules([{ name: "f.rego", text }], { v0: dice.below(4) === 0 });
    ending = "failed";
    let steps = -1;
    const result = program.evaluate("data.f", {
      input: fromJson(input),
      limits: LIMITS,
      strictBuiltinErrors: dice.below(3) === 0,
      host: nodeProviders(),
      onSteps: (taken) => {
        steps = taken;
      },
    });
    if (steps < 0 || steps > LIMITS.steps) throw new Error(`${steps} steps are over the limit`);
    if (result.defined) formatJson(result.value);
    return result.defined ? "value" : "undefined";
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    return error.code === "policy-limit" ? "limited" : ending;
  }
}

function policyFor(seed: number, dice: Dice): string {
  switch (dice.below(4)) {
    case 0:
      return generateProgram("f", seed);
    case 1:
      return mutated(dice.below(2) === 0 ? generateProgram("f", seed) : builtinPolicy(dice), dice);
    default:
      return builtinPolicy(dice);
  }
}

function main(): number {
  const [count = 20_000, first = 1] = process.argv.slice(2).map(Number);
  const counts: Record<Ending, number> = { value: 0, undefined: 0, refused: 0, failed: 0, limited: 0 };
  let bad = 0;
  let slowest = 0;
  for (let i = 0; i < count; i++) {
    const seed = first * 1_000_003 + i;
    const dice = new Dice(seed);
    const text = policyFor(seed, dice);
    const input = dice.below(2) === 0 ? INPUT : randomInput(dice, 3);
    const start = process.cpuUsage();
    try {
      counts[runOne(text, input, dice)]++;
    } catch (error) {
      bad++;
      console.log(`--- crash, index ${i}\n${text}\n${error instanceof Error ? error.stack : String(error)}`);
    }
    const { user, system } = process.cpuUsage(start);
    const ms = (user + system) / 1000;
    slowest = Math.max(slowest, ms);
    if (ms > MAX_MS) {
      bad++;
      console.log(`--- ${ms.toFixed(0)} ms of processor time, index ${i}\n${text}`);
    }
    if ((i + 1) % PROGRESS_EVERY === 0) console.error(`${i + 1} policies, ${bad} bad`);
  }
  const parts = Object.entries(counts).map(([name, number]) => `${number} ${name}`);
  console.log(
    `${count} policies: ${parts.join(", ")}; ${bad} crashed or hung; slowest ${slowest.toFixed(0)} ms`,
  );
  return bad === 0 ? 0 : 1;
}

process.exitCode = main();
