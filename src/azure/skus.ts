/** Sizes as `az vm list-skus` tells them: what a region has, and what it says of itself. */
import { KataError } from "../kata-error.ts";
import { isObject, listAt, textAt } from "./foreign.ts";
import { findFamily, judge, refusedSibling, type SizeFacts, sizeFacts } from "./size-facts.ts";
import type { Fact } from "./types.ts";

export interface SkuFacts extends SizeFacts {
  /** `standardDSv5Family`; empty if it was not told. */
  readonly skuFamily: string;
  readonly locations: readonly string[];
  readonly cpus: number | undefined;
  /** GB, as Azure counts them. */
  readonly memory: number | undefined;
  /** Why the subscription cannot have it; empty if it can. */
  readonly restrictions: readonly string[];
}

const SOURCE = "az vm list-skus";

/**
 * Facts about each size of a document. What it says itself (generation, Arm) replaces what the table says; that there is
 * nested virtualization it does not tell.
 *
 * @throws KataError `invalid-argument` for something else than a list of SKUs.
 */
export function parseSkus(document: unknown, name: string): readonly SkuFacts[] {
  if (!Array.isArray(document) || !document.every(isObject)) {
    throw new KataError("invalid-argument", {
      operation: "read SKUs",
      object: name,
      hint: "expected the list that `az vm list-skus -o json` writes",
    });
  }
  return document
    .filter((sku) => ["", "virtualmachines"].includes(textAt(sku, "resourceType").toLowerCase()))
    .filter((sku) => textAt(sku, "name") !== "")
    .map(parseSku);
}

function parseSku(sku: unknown): SkuFacts {
  const capabilities = new Map<string, string>();
  for (const each of listAt(sku, "capabilities")) {
    capabilities.set(textAt(each, "name"), textAt(each, "value"));
  }
  const table = sizeFacts(textAt(sku, "name"));
  const family = findFamily(table.size);
  const facts = {
    generation2: generation2(capabilities, table),
    nestedVirtualization: nestedVirtualization(capabilities, table),
    aksAccepts: table.aksAccepts,
  };
  const verdict =
    family === undefined && facts.nestedVirtualization.answer === "unknown"
      ? { verdict: table.verdict, because: table.because }
      : judge(facts, family === undefined ? undefined : refusedSibling(family));
  return {
    size: table.size,
    family: table.family,
    ...facts,
    ...verdict,
    skuFamily: textAt(sku, "family"),
    locations: listAt(sku, "locations").filter((each) => typeof each === "string"),
    cpus: numberOf(capabilities.get("vCPUs")),
    memory: numberOf(capabilities.get("MemoryGB")),
    restrictions: listAt(sku, "restrictions").map(restriction),
  };
}

function generation2(capabilities: ReadonlyMap<string, string>, table: SizeFacts): Fact {
  const generations = capabilities.get("HyperVGenerations");
  if (generations === undefined || generations === "") return table.generation2;
  const answer = generations.split(",").some((each) => each.trim().toUpperCase() === "V2") ? "yes" : "no";
  return { answer, source: `${SOURCE}: HyperVGenerations ${generations}` };
}

function nestedVirtualization(capabilities: ReadonlyMap<string, string>, table: SizeFacts): Fact {
  const architecture = capabilities.get("CpuArchitectureType");
  if (architecture?.toLowerCase() === "arm64") {
    return { answer: "no", source: `${SOURCE}: CpuArchitectureType ${architecture}` };
  }
  const confidential = capabilities.get("ConfidentialComputingType");
  // Sizes with _cc_ make confidential machines of their own; the table knows them.
  if (confidential !== undefined && confidential !== "" && table.nestedVirtualization.answer === "unknown") {
    return { answer: "no", source: `${SOURCE}: ConfidentialComputingType ${confidential}` };
  }
  return table.nestedVirtualization;
}

function numberOf(text: string | undefined): number | undefined {
  const value = text === undefined || text === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** `NotAvailableForSubscription` of a location, or of zones in it. */
function restriction(each: unknown): string {
  const zones = listAt(each, "restrictionInfo", "zones").filter((zone) => typeof zone === "string");
  const reason = textAt(each, "reasonCode") || "restricted";
  return textAt(each, "type").toLowerCase() === "zone" ? `${reason} in zones ${zones.join(", ")}` : reason;
}

/** A subscription can have the size, if only in some zones. */
export function isAvailable({ restrictions }: SkuFacts): boolean {
  return restrictions.every((each) => each.includes(" in zones "));
}
