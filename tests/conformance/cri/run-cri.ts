/**
 * Kubernetes' own tests of a container runtime, critest, with runc and with Kata Containers.
 *
 *   npm run test:cri -- [--containerd system|trixie|sid] [--focus REGEXP] [--only runc|kata] [--nodes N]
 *     [--application]
 *
 * `--containerd` names the Debian suite that containerd is from: sid, as its specs are the most, without it. `--focus` chooses
 * specs by their names, `--only` runs one of the two runtimes and compares nothing, `--nodes` is how many specs run at a time (2).
 * After the specs comes a real application (application.ts); `--application` runs nothing else, with `--focus` it is left out.
 *
 * It exits with 1 if a spec that runc passes fails with Kata Containers and is not in skip-list.txt; with `--only`, if one fails.
 * Without `go`, which builds critest, it says so and exits with 0. Needs root and what `npm run build` and `npm run image` have made.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { removeAbandonedInstances } from "../../harness/abandoned-containerd.ts";
import { exitStatus, mustRun } from "../../harness/command.ts";
import {
  CONTAINERD_SUITES,
  type ContainerdSuite,
  containerdPrograms,
} from "../../harness/containerd-versions.ts";
import { BUILT_PROGRAMS, GUEST_INITRD, GUEST_KERNEL } from "../../harness/kata-configuration.ts";
import { INSTANCE_PREFIX } from "../../harness/private-containerd.ts";
import { runApplication } from "./application.ts";
import { type Comparison, compareResults } from "./compare-results.ts";
import { CriInstance, type RuntimeName } from "./cri-instance.ts";
import { type CritestPrograms, critestPrograms } from "./critest-programs.ts";
import { withRegistry } from "./filled-registry.ts";
import { machineSuite, unpackedPackages } from "./packages.ts";
import { runCritest } from "./run-critest.ts";
import { parseSkipList, skipPattern } from "./skip-list.ts";
import type { SpecOutcome, SpecResult, SpecResults } from "./spec-report.ts";

/** In the environment of the second half, which runs in a network namespace of its own. */
const INSIDE = "KATA_TEST_CRI_INSIDE";

/** The suite whose containerd knows most of what critest asks for. */
const MOST_SPECS: ContainerdSuite = "sid";

/** Named as critest's specs are. */
const APPLICATION = "An application keeps every visit when its database is killed and started again";

const RUNTIMES: readonly RuntimeName[] = ["runc", "kata"];

interface Choice {
  readonly application: boolean;
  readonly containerd: ContainerdSuite;
  readonly focus: string | undefined;
  readonly runtimes: readonly RuntimeName[];
  readonly nodes: number;
}

async function main(): Promise<number> {
  const choice = parseChoice(process.argv.slice(2));
  if (process.env[INSIDE] === undefined) return await prepare(choice);
  await mustRun("ip", ["link", "set", "lo", "up"]);
  const skipped = parseSkipList(readFileSync(join(import.meta.dirname, "skip-list.txt"), "utf8"));
  const results = await runAll(choice, skipped);
  const [reference, subject] = RUNTIMES.map((name) => results.get(name));
  if (reference === undefined || subject === undefined) {
    const failed = [...results].map(([runtime, specs]) => tell(runtime, specs));
    return failed.every((count) => count === 0) ? 0 : 1;
  }
  const comparison = compareResults(reference, subject, skipped);
  // The list is for the version whose specs are the most; what another one does not offer is no fault of the list.
  const whole = choice.focus === undefined && !choice.application && choice.containerd === MOST_SPECS;
  return report(comparison, skipped, whole);
}

function parseChoice(args: readonly string[]): Choice {
  const options = {
    containerd: { type: "string", default: MOST_SPECS },
    focus: { type: "string" },
    only: { type: "string" },
    nodes: { type: "string", default: "2" },
    application: { type: "boolean", default: false },
  } as const;
  const { values } = parseArgs({ args: [...args], options });
  const runtimes = RUNTIMES.filter((name) => values.only === undefined || values.only === name);
  const nodes = Number(values.nodes);
  const containerd = CONTAINERD_SUITES.find((suite) => suite === values.containerd);
  if (containerd === undefined) {
    throw new Error(`--containerd ${values.containerd}: expected one of ${CONTAINERD_SUITES.join(", ")}`);
  }
  if (runtimes.length === 0) throw new Error(`--only ${values.only}: expected ${RUNTIMES.join(" or ")}`);
  if (!Number.isInteger(nodes) || nodes < 1)
    throw new Error(`--nodes ${values.nodes}: expected a number from 1`);
  return { application: values.application, containerd, focus: values.focus, runtimes, nodes };
}

/** What needs the machine's network; then the rest, in a network that nothing else is in. */
async function prepare(choice: Choice): Promise<number> {
  const programs = await critestPrograms(progress);
  if (programs === undefined) {
    console.log("skipped: this machine has no go, which builds critest");
    return 0;
  }
  if (choice.runtimes.includes("kata")) mustBeBuilt();
  await removeAbandonedInstances(INSTANCE_PREFIX);
  const suite = await machineSuite();
  progress("making the images that critest names (once, about a minute)");
  await withRegistry(suite, async () => undefined);
  await unpackedPackages(suite, ["containernetworking-plugins"]);
  await containerdPrograms(choice.containerd);
  const again = [...process.execArgv, ...process.argv.slice(1)];
  const child = spawn("unshare", ["--net", "--", process.execPath, ...again], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: "1" },
  });
  return await exitStatus(child);
}

function mustBeBuilt(): void {
  for (const path of [join(BUILT_PROGRAMS, "containerd-shim-kata-v2"), GUEST_KERNEL, GUEST_INITRD]) {
    if (!existsSync(path)) throw new Error(`${path} is missing: run npm run build and npm run image first`);
  }
}

async function runAll(
  choice: Choice,
  skipped: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<RuntimeName, SpecResults>> {
  const suite = await machineSuite();
  const programs = await critestPrograms(progress);
  if (programs === undefined) throw new Error("critest has gone");
  const plugins = await unpackedPackages(suite, ["containernetworking-plugins"]);
  const containerd = await containerdPrograms(choice.containerd);
  const results = new Map<RuntimeName, SpecResults>();
  await withRegistry(suite, async (registry) => {
    for (const runtime of choice.runtimes) {
      await using instance = await CriInstance.start({
        runtime,
        registry: registry.url,
        containerd,
        plugins: join(plugins, "usr/lib/cni"),
        crictl: programs.crictl,
      });
      const specs = choice.application ? new Map() : await runSpecs(programs, instance, choice, skipped);
      const application = choice.focus === undefined ? [await resultOfApplication(instance)] : [];
      results.set(instance.runtime, new Map([...specs, ...application]));
    }
  });
  return results;
}

function runSpecs(
  programs: CritestPrograms,
  { runtime, endpoint }: CriInstance,
  { nodes, focus }: Choice,
  skipped: ReadonlyMap<string, string>,
): Promise<SpecResults> {
  const skip = runtime === "kata" ? skipPattern(skipped.keys()) : undefined;
  return runCritest(programs, { runtime, endpoint, nodes, focus, skip });
}

/** The application's outcome as if it were one more spec. */
async function resultOfApplication(instance: CriInstance): Promise<[string, SpecResult]> {
  const started = performance.now();
  const result = await runApplication(instance, (text) => progress(`${instance.runtime} ${text}`)).then(
    () => ({ outcome: "passed" as const, message: "" }),
    (error: unknown) => ({ outcome: "failed" as const, message: String(error) }),
  );
  return [APPLICATION, { ...result, seconds: (performance.now() - started) / 1000 }];
}

/** One runtime's results, when there is nothing to compare them with. @returns how many failed. */
function tell(runtime: RuntimeName, specs: SpecResults): number {
  for (const [name, { outcome, message }] of specs) {
    if (outcome !== "passed") console.log(`${runtime}: ${outcome}: ${name}\n    ${message}`);
  }
  const count = (wanted: SpecOutcome) =>
    [...specs.values()].filter(({ outcome }) => outcome === wanted).length;
  console.log(`${runtime}: ${count("passed")} passed, ${count("failed")} failed`);
  return count("failed");
}

/** @param whole false if only some specs ran, so that a list may well name others. @returns the exit status. */
function report(comparison: Comparison, skipped: ReadonlyMap<string, string>, whole: boolean): number {
  const { reference, subject } = comparison.counts;
  const row = (...cells: readonly (string | number)[]) =>
    console.log(
      cells.map((cell, index) => (index === 0 ? `${cell}`.padEnd(10) : `${cell}`.padStart(8))).join(""),
    );
  row("", "passed", "failed", "skipped");
  row("runc", reference.passed, reference.failed, reference.skipped);
  row("kata", subject.passed, subject.failed, subject.skipped);
  console.log(`${skipped.size} left out with Kata Containers (skip-list.txt)`);
  for (const name of comparison.ahead) console.log(`passes with Kata Containers only: ${name}`);
  for (const { name, reason } of comparison.missing) console.log(`FAILED: ${name}\n    ${reason}`);
  const stale = whole ? comparison.stale : [];
  for (const name of stale) console.log(`FAILED: in skip-list.txt, but runc does not pass it: ${name}`);
  const failed = comparison.missing.length + stale.length;
  console.log(`${subject.passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function progress(text: string): void {
  console.error(text);
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
