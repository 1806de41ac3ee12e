/** What `azure check-size` and `azure sizes` print. */
import { type AksError, sizeRefusal } from "../../azure/aks-error.ts";
import { type NearSize, nearestSizes } from "../../azure/nearest-sizes.ts";
import { type SizeFacts, sizeFacts } from "../../azure/size-facts.ts";
import type { Answer, Fact } from "../../azure/types.ts";

export interface SizeAnswer extends SizeFacts {
  /** What AKS answers to the size; `seen` if it was seen to, else it is what it says of sizes without nested virtualization. */
  readonly aksError?: AksError & { readonly seen: boolean };
  /** What to take instead. */
  readonly instead?: readonly NearSize[];
  /** What was likely meant. */
  readonly suggestion?: string;
}

/** @param strict yes only for what AKS was seen to accept. */
export function answerSize(name: string, workloadRuntime: string | undefined, strict: boolean): SizeAnswer {
  const known = sizeFacts(name);
  const facts =
    strict && known.verdict === "yes" && known.aksAccepts.answer !== "yes"
      ? ({ ...known, verdict: "unknown", because: "AKS was not seen to accept it" } as const)
      : known;
  if (facts.verdict === "yes") return facts;
  if (facts.family === undefined) {
    const meant = meantSize(name);
    return meant === undefined ? facts : { ...facts, suggestion: meant };
  }
  const instead = nearestSizes(name);
  const seen = facts.aksAccepts.answer === "no";
  if (!seen && facts.nestedVirtualization.answer !== "no") return { ...facts, instead };
  return { ...facts, aksError: { ...sizeRefusal(workloadRuntime), seen }, instead };
}

/** A size of the table that `name` is a shorter or misspelt form of. */
function meantSize(name: string): string | undefined {
  const joined = name.replaceAll("-", "_").replace(/_?(v\d+)$/i, "_$1");
  return [`Standard_${name}`, joined, `Standard_${joined}`]
    .map(sizeFacts)
    .find(({ family }) => family !== undefined)?.size;
}

/** A few lines about a size; AKS's words stand as it writes them. */
export function sizeLines(answer: SizeAnswer): string {
  const {
    size,
    verdict,
    because,
    nestedVirtualization,
    generation2,
    aksAccepts,
    aksError,
    instead = [],
  } = answer;
  const lines = [
    `${size}: ${verdict}, ${because}`,
    factLine("Azure documents nested virtualization", nestedVirtualization),
    factLine("generation 2", generation2, nestedVirtualization.source),
    factLine("AKS accepts it", aksAccepts),
  ];
  if (aksError !== undefined) {
    lines.push(
      aksError.seen ? "AKS answers:" : "AKS answers to sizes without nested virtualization:",
      aksError.text,
    );
  }
  if (instead.length > 0) lines.push(`Nearest sizes that work: ${instead.map(nearText).join(", ")}`);
  if (answer.suggestion !== undefined) lines.push(`Did you mean ${answer.suggestion}?`);
  return `${lines.join("\n")}\n`;
}

/** @param before source of the line above, which is not told twice. */
function factLine(question: string, { answer, source }: Fact, before?: string): string {
  return `  ${`${question}:`.padEnd(40)}${answer.padEnd(9)}(${source === before ? "the same source" : source})`;
}

function nearText({ size, observed }: NearSize): string {
  return `${size} (${observed ? "AKS accepts it" : "by Azure's documentation"})`;
}

const ORDER: readonly Answer[] = ["no", "unknown", "yes"];

/** The answer to several sizes: the worst. */
export function worst(answers: readonly Answer[]): Answer {
  return ORDER.find((each) => answers.includes(each)) ?? "yes";
}
