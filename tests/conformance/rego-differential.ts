/**
 * Compares the Rego engine with the `opa` command on generated programs.
 *
 *   npx tsx tests/conformance/rego-differential.ts [PROGRAMS] [SEED]
 *
 * OPA is built once with `go install` into build/cache/opa (or named by $OPA). Without either this prints why it is
 * skipped and exits 0. It exits 1 if the two ever give different documents, or one gives an error and the other none.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KataError } from "../../src/kata-error.ts";
import { formatJson, fromJson, type Json, parseJson, toJson } from "../../src/policy/rego/json.ts";
import { compileModules } from "../../src/policy/rego/program.ts";
import { equalValues } from "../../src/policy/rego/values.ts";
import { findOpa } from "./opa.ts";
import { generateProgram, INPUT } from "./rego-generator.ts";

/** Programs that one `opa` process evaluates, each in a package of its own. */
const BATCH = 8;

type Outcome = { readonly document: Json } | { readonly error: string };

/** OPA's type inference and lint refuse programs that cannot be undefined in a way they can see; ours evaluates them. */
const STATIC_REFUSAL = /"code": "rego_type_error"|declared var \S+ unused/;

function ourOutcome(text: string, name: string): Outcome {
  try {
    const program = compileModules([{ name: `${name}.rego`, text }]);
    const result = program.evaluate(`data.${name}`, { input: fromJson(INPUT) });
    return result.defined ? { document: toJson(result.value) } : { error: "undefined" };
  } catch (error) {
    if (error instanceof KataError) return { error: error.message };
    throw error;
  }
}

function opaOutcomes(
  opa: string,
  folder: string,
  programs: ReadonlyMap<string, string>,
): Map<string, Outcome> {
  for (const [name, text] of programs) writeFileSync(join(folder, `${name}.rego`), text);
  const files = [...programs.keys()].flatMap((name) => ["-d", join(folder, `${name}.rego`)]);
  const run = spawnSync(opa, ["eval", "--format=json", "-i", join(folder, "input.json"), ...files, "data"], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const outcomes = new Map<string, Outcome>();
  if (run.status === 0) {
    const document = JSON.parse(run.stdout).result[0].expressions[0].value as Record<string, Json>;
    for (const name of programs.keys()) outcomes.set(name, { document: document[name] ?? null });
  } else if (programs.size === 1) {
    for (const name of programs.keys()) outcomes.set(name, { error: run.stdout || run.stderr });
  } else {
    // One bad program spoils the batch: each is asked for alone.
    for (const [name, text] of programs) {
      for (const [key, outcome] of opaOutcomes(opa, folder, new Map([[name, text]])))
        outcomes.set(key, outcome);
    }
  }
  return outcomes;
}

function agree(ours: Outcome, theirs: Outcome): boolean {
  if ("error" in ours || "error" in theirs) return "error" in ours && "error" in theirs;
  return equalValues(parseJson(formatJson(fromJson(ours.document))), fromJson(theirs.document));
}

function main(): number {
  const [count = 400, seed = 1] = process.argv.slice(2).map(Number);
  const opa = findOpa();
  if (!opa) {
    console.log("skipped: there is neither an opa command nor go to build one");
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), "rego-differential-"));
  let differing = 0;
  let errors = 0;
  let refused = 0;
  try {
    writeFileSync(join(folder, "input.json"), JSON.stringify(INPUT));
    // Programs that we refuse go alone, so that they do not spoil the others' batch.
    const alone: Map<string, string>[] = [];
    const batches: Map<string, string>[] = [];
    const ours = new Map<string, Outcome>();
    for (let i = 0; i < count; i++) {
      const name = `g${i}`;
      const text = generateProgram(name, seed * 1_000_003 + i);
      const outcome = ourOutcome(text, name);
      ours.set(name, outcome);
      if ("error" in outcome) {
        alone.push(new Map([[name, text]]));
        errors++;
        continue;
      }
      const last = batches.at(-1);
      if (last && last.size < BATCH) last.set(name, text);
      else batches.push(new Map([[name, text]]));
    }
    for (const batch of [...batches, ...alone]) {
      for (const [name, theirs] of opaOutcomes(opa, folder, batch)) {
        const own = ours.get(name);
        if (!own || agree(own, theirs)) continue;
        if ("error" in theirs && STATIC_REFUSAL.test(theirs.error)) {
          refused++;
          continue;
        }
        differing++;
        console.log(
          `--- ${name}\n${batch.get(name)}\nours: ${JSON.stringify(own)}\nopa:  ${JSON.stringify(theirs)}`,
        );
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  console.log(
    `${count} programs: ${errors} refused or failed here, ${refused} refused by OPA's type checker alone, ${differing} differ`,
  );
  return differing === 0 ? 0 : 1;
}

process.exitCode = main();
