/** `kata-runtime azure sizes`: what it does. */
import { parseDocuments } from "../../azure/json-documents.ts";
import { judge, refusedSibling, type SizeFacts, sizeFamilies, sizeSpelling } from "../../azure/size-facts.ts";
import { isAvailable, parseSkus, type SkuFacts } from "../../azure/skus.ts";
import { ANSWERS } from "../../azure/types.ts";
import { KataError } from "../../kata-error.ts";
import { numberFlag, textFlag, wordFlag } from "../flag-values.ts";
import { readInput } from "../input.ts";
import { type CommandContext, EXIT_OK, type FlagValues } from "../types.ts";
import { tableLines } from "./table-text.ts";

/** Flags that ask for what only a list of SKUs tells. */
const OF_SKUS = ["location", "min-cpus", "min-memory", "available"];

export async function runSizes({ flags, output }: CommandContext): Promise<number> {
  const file = textFlag(flags, "skus");
  const matches = factFilter(flags);
  if (file === undefined) {
    const needless = OF_SKUS.find((name) => flags.has(name));
    if (needless !== undefined) {
      throw new KataError("invalid-argument", {
        operation: "read command line",
        object: `--${needless}`,
        hint: "only with --skus, as the table does not tell it",
      });
    }
    const families = familyFacts().filter(matches);
    output.data(flags.has("json") ? toJson({ families }) : familyLines(families));
    return EXIT_OK;
  }
  const skus = parseDocuments(readInput(file), file)
    .flatMap((document) => parseSkus(document, file))
    .filter((sku) => matches(sku) && skuFilter(flags, sku));
  output.data(flags.has("json") ? toJson({ sizes: skus }) : skuLines(skus));
  return EXIT_OK;
}

/** The table's rows as facts; `size` is the row's pattern. */
function familyFacts(): SizeFacts[] {
  return sizeFamilies().map((row) => {
    const { generation2, nestedVirtualization, aksAccepts } = row;
    const facts = { generation2, nestedVirtualization, aksAccepts };
    return { size: row.pattern.source, family: row.name, ...facts, ...judge(facts, refusedSibling(row)) };
  });
}

function factFilter(flags: FlagValues): (facts: SizeFacts) => boolean {
  const usable = wordFlag(flags, "usable", ANSWERS);
  const nested = wordFlag(flags, "nested", ANSWERS);
  const generation2 = wordFlag(flags, "generation2", ANSWERS);
  const aks = wordFlag(flags, "aks", ANSWERS);
  const glob = textFlag(flags, "name");
  const named = glob === undefined ? undefined : globPattern(glob);
  return (facts) =>
    (usable === undefined || facts.verdict === usable) &&
    (nested === undefined || facts.nestedVirtualization.answer === nested) &&
    (generation2 === undefined || facts.generation2.answer === generation2) &&
    (aks === undefined || facts.aksAccepts.answer === aks) &&
    (named === undefined ||
      [facts.size, facts.family ?? "", `Standard_${facts.family}`].some((name) => named.test(name)));
}

function skuFilter(flags: FlagValues, sku: SkuFacts): boolean {
  const location = textFlag(flags, "location")?.toLowerCase();
  return (
    (location === undefined || sku.locations.some((each) => each.toLowerCase() === location)) &&
    (sku.cpus ?? 0) >= (numberFlag(flags, "min-cpus") ?? 0) &&
    (sku.memory ?? 0) >= (numberFlag(flags, "min-memory") ?? 0) &&
    (!flags.has("available") || isAvailable(sku))
  );
}

/** `*` and `?`; in any case, as Azure takes names. */
function globPattern(glob: string): RegExp {
  const escaped = sizeSpelling(glob).replace(/[\\^$+.()|[\]{}]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\*+/g, ".*").replaceAll("?", ".")}$`, "i");
}

function familyLines(families: readonly SizeFacts[]): string {
  return tableLines(
    ["SERIES", "USABLE", "NESTED", "GEN2", "AKS", "SOURCE"],
    families.map((each) => [
      each.family ?? "",
      each.verdict,
      each.nestedVirtualization.answer,
      each.generation2.answer,
      each.aksAccepts.answer,
      each.nestedVirtualization.source,
    ]),
  );
}

function skuLines(skus: readonly SkuFacts[]): string {
  return tableLines(
    ["SIZE", "USABLE", "NESTED", "GEN2", "AKS", "CPUS", "GB", "RESTRICTIONS"],
    skus.map((each) => [
      each.size,
      each.verdict,
      each.nestedVirtualization.answer,
      each.generation2.answer,
      each.aksAccepts.answer,
      String(each.cpus ?? "-"),
      String(each.memory ?? "-"),
      each.restrictions.join("; ") || "-",
    ]),
  );
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
