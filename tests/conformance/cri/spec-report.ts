/** What critest says of its specs, from ginkgo's JSON report. Source: ginkgo 2, `types.Report` and `types.SpecReport`. */

/** `skipped` is a spec that looked at what the runtime offers and did not run. */
export type SpecOutcome = "passed" | "failed" | "skipped";

export interface SpecResult {
  readonly outcome: SpecOutcome;
  readonly seconds: number;
  /** Why it failed, or why it did not run. */
  readonly message: string;
}

/** Results by the spec's whole name. */
export type SpecResults = ReadonlyMap<string, SpecResult>;

interface GinkgoSpec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly State: string;
  /** Nanoseconds. */
  readonly RunTime: number;
  readonly Failure?: { readonly Message?: string };
}

/** Specs that were not chosen carry this state and no message. */
const NOT_CHOSEN = "skipped";

/** @throws Error if `text` is no report of ginkgo, or if a step around all specs failed. */
export function parseReport(text: string): SpecResults {
  const suites = JSON.parse(text) as readonly { readonly SpecReports?: readonly GinkgoSpec[] | null }[];
  if (!Array.isArray(suites)) throw new Error("ginkgo's report: expected a list of suites");
  const results = new Map<string, SpecResult>();
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    const message = firstLine(spec.Failure?.Message ?? "");
    if (spec.LeafNodeType !== "It") {
      if (spec.State === "passed" || spec.State === NOT_CHOSEN) continue;
      throw new Error(`critest did not get to its specs: ${spec.LeafNodeType}: ${message}`);
    }
    const chosen = spec.State !== "pending" && !(spec.State === NOT_CHOSEN && message === "");
    if (!chosen) continue;
    const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" ");
    results.set(name, { outcome: outcomeOf(spec.State), seconds: spec.RunTime / 1e9, message });
  }
  return results;
}

/** Panics, timeouts and interruptions are failures too. */
function outcomeOf(state: string): SpecOutcome {
  if (state === "passed") return "passed";
  return state === NOT_CHOSEN ? "skipped" : "failed";
}

function firstLine(text: string): string {
  const [line = ""] = text.trim().split("\n");
  return line;
}
