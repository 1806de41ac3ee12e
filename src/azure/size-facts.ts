/** Whether a size of Azure's virtual machines can be a node for containers in virtual machines, and how that is known. */
import { SIZE_ROWS, SOURCES } from "./size-table.ts";
import type { Answer, Fact } from "./types.ts";

/** A row of the table. */
export interface SizeFamily {
  /** `Dsv5`, or a size that is a row of its own. */
  readonly name: string;
  /** Of the whole name as Azure Resource Manager spells it. */
  readonly pattern: RegExp;
  readonly generation2: Fact;
  /** What Azure documents. */
  readonly nestedVirtualization: Fact;
  /** What AKS answered for a pool of containers in virtual machines. */
  readonly aksAccepts: Fact;
}

export interface SizeFacts {
  /** As Azure Resource Manager spells it; as it was given, if nothing is known of it. */
  readonly size: string;
  /** Row of the table; undefined for a size that it does not know. */
  readonly family: string | undefined;
  readonly generation2: Fact;
  readonly nestedVirtualization: Fact;
  readonly aksAccepts: Fact;
  /** Whether a pool of containers in virtual machines can have it. */
  readonly verdict: Answer;
  /** Why, in one sentence. */
  readonly because: string;
}

const NOT_KNOWN: Fact = { answer: "unknown", source: "no row of the table is about it" };

let table: readonly SizeFamily[] | undefined;

/** The table, read when it is asked for first. */
export function sizeFamilies(): readonly SizeFamily[] {
  table ??= SIZE_ROWS.trim().split("\n").map(parseRow);
  return table;
}

function parseRow(line: string): SizeFamily {
  const [name = "", pattern = "", answers = "", short = ""] = line.split("\t");
  const source = short.replace(/\{(\w+)\}/g, (_, key: string) => SOURCES[key] ?? key);
  const aks = letterAnswer(answers[2]);
  return {
    name,
    pattern: expandPattern(pattern),
    generation2: { answer: letterAnswer(answers[0]), source },
    nestedVirtualization: { answer: letterAnswer(answers[1]), source },
    aksAccepts: { answer: aks, source: aks === "unknown" ? "nothing was observed" : (SOURCES.seen ?? "") },
  };
}

function letterAnswer(letter: string | undefined): Answer {
  return letter === "y" ? "yes" : letter === "n" ? "no" : "unknown";
}

function expandPattern(short: string): RegExp {
  const whole = short.startsWith("^") ? short : `^Standard_${short}$`;
  return new RegExp(whole.replace("#", String.raw`\d+(-\d+)?`).replaceAll("%", String.raw`\d+`));
}

/** Longer than any name of a size; what is longer is compared with nothing. */
const MAX_NAME_LENGTH = 64;

/**
 * `name` as Azure Resource Manager spells it, which takes any case: `standard_DC8AS_CC_v5` is `Standard_DC8as_cc_v5`.
 * What is not built like a size stays as it is.
 */
export function sizeSpelling(name: string): string {
  const match = /^(standard|basic)_([a-z]+)(\d.*)$/i.exec(name);
  if (match === null || name.length > MAX_NAME_LENGTH) return name;
  const [, tier = "", family = "", rest = ""] = match;
  // The model of a graphics card is written in capitals: NC4as_T4_v3, NC24ads_A100_v4.
  const features = rest
    .toLowerCase()
    .split("_")
    .map((part) => (/^[a-z]+\d+[a-z]*$/.test(part) && !/^v\d+$/.test(part) ? part.toUpperCase() : part));
  return `${tier[0]?.toUpperCase()}${tier.slice(1).toLowerCase()}_${family.toUpperCase()}${features.join("_")}`;
}

/** Answers of {@link findFamily}: a list of all regions asks for each size some sixty times. */
const found = new Map<string, SizeFamily | undefined>();
/** More than Azure has. */
const MAX_FOUND = 10_000;

/** The row about `size`; undefined if there is none. */
export function findFamily(size: string): SizeFamily | undefined {
  if (size.length > MAX_NAME_LENGTH) return undefined;
  if (found.has(size)) return found.get(size);
  const family = sizeFamilies().find(({ pattern }) => pattern.test(size));
  if (found.size < MAX_FOUND) found.set(size, family);
  return family;
}

let refusedSizes: readonly string[] | undefined;

/** A size of the same series that AKS refused, although what is documented would let it pass. */
export function refusedSibling({ name, pattern }: SizeFamily): string | undefined {
  refusedSizes ??= sizeFamilies()
    .filter(({ aksAccepts }) => aksAccepts.answer === "no")
    .map((row) => row.name);
  return refusedSizes.find((refused) => refused !== name && pattern.test(refused));
}

/** What is known of `name`. */
export function sizeFacts(name: string): SizeFacts {
  const size = sizeSpelling(name);
  const family = findFamily(size);
  if (family === undefined) {
    return {
      // As it was given: a spelling would be a guess.
      size: name,
      family: undefined,
      generation2: NOT_KNOWN,
      nestedVirtualization: NOT_KNOWN,
      aksAccepts: NOT_KNOWN,
      verdict: "unknown",
      because: "this size is not in the table",
    };
  }
  const { generation2, nestedVirtualization, aksAccepts } = family;
  const facts = { generation2, nestedVirtualization, aksAccepts };
  return { size, family: family.name, ...facts, ...judge(facts, refusedSibling(family)) };
}

/** What the facts about a size amount to. @param refused a sibling that AKS refused. */
export function judge(
  facts: Pick<SizeFacts, "generation2" | "nestedVirtualization" | "aksAccepts">,
  refused: string | undefined,
): Pick<SizeFacts, "verdict" | "because"> {
  const { generation2, nestedVirtualization, aksAccepts } = facts;
  const no = (because: string) => ({ verdict: "no", because }) as const;
  const unknown = (because: string) => ({ verdict: "unknown", because }) as const;
  if (aksAccepts.answer === "no") {
    return no(
      nestedVirtualization.answer === "yes"
        ? "AKS refuses it, although Azure documents nested virtualization"
        : "AKS refuses it",
    );
  }
  if (nestedVirtualization.answer === "no") return no("Azure documents no nested virtualization");
  if (generation2.answer === "no") return no("it is of generation 1 only, and AKS requires generation 2");
  if (aksAccepts.answer === "yes") return { verdict: "yes", because: "AKS accepted it" };
  if (nestedVirtualization.answer === "unknown")
    return unknown("whether it has nested virtualization is not known");
  if (generation2.answer === "unknown") return unknown("whether it has generation 2 is not known");
  if (refused !== undefined) {
    return unknown(
      `Azure documents nested virtualization, but AKS refuses ${refused}, which is of the same series`,
    );
  }
  return {
    verdict: "yes",
    because:
      "Azure documents nested virtualization and generation 2; whether AKS accepts it was not observed",
  };
}
