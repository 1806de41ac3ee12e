/** The public cases in ../shared/rego-cases: at least 99 of 100 must pass, each other one with its reason here. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { decodeValue } from "../rego-cli/value-encoding.ts";
import { parseYaml } from "./builtins/yaml-reader.ts";
import { formatRego } from "./json.ts";
import { compileModules, type Program, type Result } from "./program.ts";
import { equalValues, isArray, RegoObject, type Value } from "./values.ts";

const CASES = resolve(import.meta.dirname, "../../../../shared/rego-cases");
const REQUIRED_PERCENT = 99;

/** Cases where OPA, which we follow, gives something else. */
const KNOWN: Readonly<Record<string, string>> = {
  "import/tests.yaml: overload error does not leak callee module imports":
    "two definitions of m(_) give different values: OPA always reports the conflict, the case wants the first definition's value",
  "negation/tests.yaml: not-more-undefined-OPA-INCOMPATIBLE":
    "OPA computes operands of a negated call before the negation, so an undefined one fails the body; the case, as its name says, wants the negation to hold",
};

interface Case {
  readonly name: string;
  readonly fields: RegoObject;
}

function readCases(folder: string, prefix = ""): Case[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    const name = prefix + entry.name;
    if (entry.isDirectory()) return readCases(path, `${name}/`);
    if (!entry.name.endsWith(".yaml")) return [];
    const document = parseYaml(readFileSync(path, "utf8"));
    const cases = document instanceof RegoObject ? document.get("cases") : undefined;
    if (!isArray(cases)) return [];
    return cases.flatMap((fields) =>
      fields instanceof RegoObject ? [{ name: `${name}: ${fields.get("note")}`, fields }] : [],
    );
  });
}

/** Modules say their language by what parses; the cases are v1 unless they need v0. */
function compileCase(fields: RegoObject): Program {
  const modules = fields.get("modules");
  const sources = (isArray(modules) ? modules : []).map((text, i) => ({
    name: `rego_${i}`,
    text: String(text),
  }));
  try {
    return compileModules(sources);
  } catch (error) {
    if (!(error instanceof KataError) || error.code !== "policy-syntax") throw error;
    return compileModules(sources, { v0: true });
  }
}

/** The values of a field that is one value, or `many!` values. */
function several(value: Value | undefined): (Value | undefined)[] {
  const many = value instanceof RegoObject ? value.get("many!") : undefined;
  return isArray(many) ? [...many] : [value];
}

function decode(value: Value | undefined): Value | undefined {
  return value === undefined || value === "#undefined" ? undefined : decodeValue(value);
}

/** Why the case fails, or undefined if it passes. */
function failure(fields: RegoObject): string | undefined {
  const prints: string[] = [];
  let results: Result[];
  try {
    const program = compileCase(fields);
    const inputs = isArray(fields.get("inputs"))
      ? (fields.get("inputs") as Value[])
      : several(fields.get("input"));
    results = inputs.map((input) =>
      program.evaluate(String(fields.get("query")), {
        input: decode(input),
        data: decode(fields.get("data")),
        strictBuiltinErrors: fields.get("strict") !== false,
        onPrint: (text, at) => prints.push(`${at.file}:${at.line}: ${text}`),
      }),
    );
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    return fields.has("error") ? undefined : error.message;
  }
  if (fields.has("error")) return "no error was reported";
  const wanted = fields.get("want_results") ?? fields.get("want_result");
  const values = isArray(fields.get("want_results"))
    ? (fields.get("want_results") as Value[])
    : several(wanted);
  const expected = fields.get("no_result") === true ? [undefined] : values.map(decode);
  const wrong = expected.findIndex((value, i) => {
    const result = results[i];
    if (value === undefined) return result?.defined !== false;
    return !result?.defined || !equalValues(result.value, value);
  });
  if (wrong >= 0)
    return results.map((result) => (result.defined ? formatRego(result.value) : "undefined")).join("; ");
  const wantedPrints = fields.get("want_prints");
  if (isArray(wantedPrints) && !equalValues(wantedPrints, prints)) return `prints ${JSON.stringify(prints)}`;
  return undefined;
}

test("the engine passes the public cases", (context) => {
  if (!existsSync(CASES)) {
    console.log(`skipped: no ${CASES}`);
    context.skip();
  }
  const cases = readCases(CASES).filter(({ fields }) => fields.get("skip") !== true);
  const failures = cases.flatMap(({ name, fields }) => {
    const why = failure(fields);
    return why === undefined ? [] : [{ name, why }];
  });
  const percent = (100 * (cases.length - failures.length)) / cases.length;
  const lines = failures.map(({ name, why }) => `  ${name}\n    ${why}\n    ${KNOWN[name] ?? "not known"}`);
  console.log(
    `rego-cases: ${cases.length - failures.length} of ${cases.length} pass (${percent.toFixed(2)} %)\n${lines.join("\n")}`,
  );
  expect(failures.filter(({ name }) => KNOWN[name] === undefined)).toEqual([]);
  expect(percent).toBeGreaterThanOrEqual(REQUIRED_PERCENT);
});
