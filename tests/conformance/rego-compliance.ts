/**
 * Runs OPA's own compliance cases (v0 and v1) on the Rego engine.
 *
 *   npx tsx tests/conformance/rego-compliance.ts [--verbose] [TEXT]
 *
 * The cases are read from OPA's Go module; without `go` this prints that it is skipped and exits 0. TEXT picks the
 * cases whose name contains it. It exits 1 if a case fails that `rego-compliance-known.ts` gives no reason for, or a
 * case listed there passes.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { KataError } from "../../src/kata-error.ts";
import { parseYaml } from "../../src/policy/rego/builtins/yaml-reader.ts";
import { formatJson, formatRego, parseJson } from "../../src/policy/rego/json.ts";
import { compileModules, type Program } from "../../src/policy/rego/program.ts";
import {
  compareValues,
  equalValues,
  isArray,
  RegoObject,
  RegoSet,
  type Value,
} from "../../src/policy/rego/values.ts";
import { nodeProviders } from "../../src/policy/rego-cli/node-providers.ts";
import { findOpaCases } from "./opa.ts";
import { knownFailure } from "./rego-compliance-known.ts";

interface Case {
  readonly name: string;
  readonly v0: boolean;
  readonly fields: RegoObject;
}

/** Error codes of OPA by what our engine throws. */
const CODES: Readonly<Record<string, readonly string[]>> = {
  "policy-evaluation": [
    "eval_conflict_error",
    "eval_builtin_error",
    "eval_type_error",
    "eval_with_merge_error",
  ],
  "policy-compile": [
    "rego_type_error",
    "rego_compile_error",
    "rego_recursion_error",
    "rego_unsafe_var_error",
  ],
  "policy-limit": ["eval_builtin_error"],
};

function readCases(folder: string, v0: boolean): Case[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(yaml|json)$/.test(name))
    .sort()
    .flatMap((name) => {
      const text = readFileSync(join(folder, name), "utf8");
      const document = name.endsWith(".json") ? parseJson(text) : parseYaml(text);
      const cases = document instanceof RegoObject ? document.get("cases") : undefined;
      if (!isArray(cases)) throw new Error(`${name}: no cases`);
      return cases.flatMap((fields) =>
        fields instanceof RegoObject
          ? [{ name: `${v0 ? "v0" : "v1"}/${fields.get("note")}`, v0, fields }]
          : [],
      );
    });
}

function bindingNames(rows: readonly Value[]): string[] {
  const [row] = rows;
  return row instanceof RegoObject ? row.keys().map(String) : [];
}

/** All solutions of the query, as rows of the wanted names. */
function solutions(program: Program, fields: RegoObject, names: readonly string[]): readonly Value[] {
  const row = `{${names.map((name) => `${JSON.stringify(name)}: ${name}`).join(", ")}}`;
  const term = fields.get("input_term");
  const input = typeof term === "string" ? termValue(program, term) : fields.get("input");
  const result = program.evaluate(`[${row} | ${fields.get("query")}]`, {
    input,
    data: fields.get("data"),
    strictBuiltinErrors: fields.get("strict_error") === true,
    host: { ...nodeProviders(), environment: () => environment(fields) },
  });
  return result.defined && isArray(result.value) ? result.value : [];
}

function termValue(program: Program, term: string): Value | undefined {
  const result = program.evaluate(term);
  return result.defined ? result.value : undefined;
}

function environment(fields: RegoObject): RegoObject {
  const runtime = new RegoObject();
  const env = fields.get("env");
  if (env !== undefined) runtime.set("env", env);
  return runtime;
}

/** Sets come out as arrays in the cases, keys as their text. */
function plain(value: Value): Value {
  if (value instanceof RegoSet) return value.values().map(plain);
  if (isArray(value)) return value.map(plain);
  if (!(value instanceof RegoObject)) return value;
  return RegoObject.of(
    [...value.entries()].map(([key, field]) => [
      typeof key === "string" ? key : formatJson(key),
      plain(field),
    ]),
  );
}

/** A row whose arrays are in order: `sort_bindings` asks for it, as the cases wrote them down so. */
function sortedRow(row: Value): Value {
  if (!(row instanceof RegoObject)) return row;
  return RegoObject.of(
    [...row.entries()].map(([key, field]) => [key, isArray(field) ? [...field].sort(compareValues) : field]),
  );
}

/** Why the case fails, or undefined if it passes. */
function failure({ v0, fields }: Case): string | undefined {
  const wantedCode = fields.get("want_error_code");
  const wantedError = fields.get("want_error");
  const isErrorWanted = wantedCode !== undefined || wantedError !== undefined;
  const rows = fields.get("want_result");
  const modules = fields.get("modules");
  const sources = (isArray(modules) ? modules : []).map((text, i) => ({
    name: `test-${i}.rego`,
    text: String(text),
  }));
  try {
    const program = compileModules(sources, { v0, metadata: parseYaml });
    const wanted = isArray(rows) ? rows : [];
    const found = solutions(program, fields, bindingNames(wanted));
    if (isErrorWanted) return `no error; ${formatRego(found)}`;
    const sorted = fields.get("sort_bindings") === true;
    const got = RegoSet.of(found.map((row) => (sorted ? sortedRow(plain(row)) : plain(row))));
    const expected = RegoSet.of(wanted);
    if (wanted.length === 0 ? found.length === 0 : equalValues(got, expected)) return undefined;
    return `got    ${formatRego(got)}\n    wanted ${formatRego(expected)}`;
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    if (!isErrorWanted) return error.message;
    if (typeof wantedCode !== "string" || CODES[error.code]?.includes(wantedCode)) return undefined;
    return `error ${error.code} (${error.message}) where ${wantedCode} was wanted`;
  }
}

function main(): number {
  const args = process.argv.slice(2);
  const only = args.find((arg) => !arg.startsWith("--"));
  const folder = findOpaCases();
  if (folder === undefined) {
    console.log("skipped: there is no go to fetch OPA's cases with");
    return 0;
  }
  const cases = [...readCases(join(folder, "v0"), true), ...readCases(join(folder, "v1"), false)].filter(
    ({ name }) => only === undefined || name.includes(only),
  );
  let passed = 0;
  let known = 0;
  let wrong = 0;
  for (const one of cases) {
    const why = failure(one);
    const reason = knownFailure(one.name);
    if (why === undefined) {
      passed++;
      if (reason === undefined) continue;
      wrong++;
      console.log(`${one.name}: passes, but is listed as known to fail: ${reason}`);
    } else if (reason !== undefined) {
      known++;
      if (args.includes("--verbose")) console.log(`${one.name}: known: ${reason}\n    ${why}`);
    } else {
      wrong++;
      console.log(`${one.name}: FAILS\n    ${why}`);
    }
  }
  const percent = ((100 * passed) / cases.length).toFixed(2);
  console.log(
    `${cases.length} cases: ${passed} pass (${percent} %), ${known} fail for a known reason, ${wrong} unexpected`,
  );
  return wrong === 0 ? 0 : 1;
}

process.exitCode = main();
