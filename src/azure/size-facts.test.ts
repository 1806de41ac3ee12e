import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sizeRefusal } from "./aks-error.ts";
import { nearestSizes } from "./nearest-sizes.ts";
import { refusedSibling, sizeFacts, sizeFamilies, sizeSpelling } from "./size-facts.ts";
import type { Answer } from "./types.ts";

interface CsvRow {
  readonly name: string;
  readonly regex: string;
  readonly generation2: Answer;
  readonly nested: Answer;
  readonly aks: Answer;
  readonly source: string;
}

/** What the table was made from; read here by other means than the table is. */
const CSV: readonly CsvRow[] = readFileSync(
  new URL("../../tests/fixtures/azure/nested-virtualization.csv", import.meta.url),
  "utf8",
)
  .trim()
  .split("\n")
  .slice(1)
  .map((line) => {
    const [name = "", regex = "", generation2, nested, aks, ...source] = line.split(",");
    const text = source
      .join(",")
      .replace(/^"(.*)"$/, "$1")
      .replaceAll('""', '"');
    return { name, regex, generation2, nested, aks, source: text } as CsvRow;
  });

/** The verdict by the rules of the help, from the CSV alone. */
function expectedVerdict(row: CsvRow): Answer {
  if (row.aks === "no" || row.nested === "no" || row.generation2 === "no") return "no";
  if (row.aks === "yes") return "yes";
  if (row.nested === "unknown" || row.generation2 === "unknown") return "unknown";
  // AKS refused another size of the series.
  const refused = CSV.some((other) => other.aks === "no" && new RegExp(row.regex).test(other.name));
  return refused ? "unknown" : "yes";
}

test("the table is the CSV, row by row", () => {
  expect(CSV).toHaveLength(139);
  expect(
    sizeFamilies().map(({ name, pattern, generation2, nestedVirtualization, aksAccepts }) => ({
      name,
      regex: pattern.source,
      generation2: generation2.answer,
      nested: nestedVirtualization.answer,
      aks: aksAccepts.answer,
      source: nestedVirtualization.source,
    })),
  ).toEqual(CSV);
});

describe("sizeFacts()", () => {
  test.each(CSV)("answers for sizes of $name as the first row of the CSV that matches", (row) => {
    const names = fc.stringMatching(new RegExp(row.regex)).filter((name) => name.length <= 64);
    fc.assert(
      fc.property(names, (name) => {
        const first = CSV.find(({ regex }) => new RegExp(regex).test(name)) ?? row;
        const facts = sizeFacts(name);
        expect({
          family: facts.family,
          generation2: facts.generation2.answer,
          nested: facts.nestedVirtualization.answer,
          aks: facts.aksAccepts.answer,
          verdict: facts.verdict,
        }).toEqual({
          family: first.name,
          generation2: first.generation2,
          nested: first.nested,
          aks: first.aks,
          verdict: expectedVerdict(first),
        });
      }),
      { numRuns: 25 },
    );
  });

  test.each([
    "Standard_Z4s_v9",
    "Standard_D4s_v99",
    "Standard_D4s_v3_extra",
    "Standard_D4s_v3x",
    " Standard_D4s_v3",
    "D4s_v3",
    "",
    "Standard_",
    "constructor",
    `Standard_D${"4".repeat(10_000)}s_v3`,
  ])("says unknown of %j and guesses nothing", (name) => {
    const { size, family, generation2, nestedVirtualization, aksAccepts, verdict } = sizeFacts(name);
    expect(size).toBe(name);
    const answers = [generation2, nestedVirtualization, aksAccepts].map(({ answer }) => answer);
    expect([family, verdict, ...answers]).toEqual([undefined, "unknown", "unknown", "unknown", "unknown"]);
  });

  test("keeps documentation and observation apart for the size that AKS refused", () => {
    const facts = sizeFacts("Standard_D2ls_v5");
    expect(facts.nestedVirtualization.answer).toBe("yes");
    expect(facts.nestedVirtualization.source).toContain("general-purpose/dlsv5-series.md (Supported)");
    expect(facts.aksAccepts).toEqual({ answer: "no", source: "AKS cluster of April 2025" });
    expect(facts.verdict).toBe("no");
  });

  test("does not call a sibling of a refused size usable", () => {
    const { verdict, because } = sizeFacts("Standard_D4ls_v5");
    expect(verdict).toBe("unknown");
    expect(because).toContain("Standard_D2ls_v5");
    expect(
      sizeFamilies()
        .map(refusedSibling)
        .filter((name) => name !== undefined),
    ).toEqual(["Standard_D2ls_v5"]);
  });
});

test.each([
  ["standard_d4s_v3", "Standard_D4s_v3"],
  ["STANDARD_DS2_V2", "Standard_DS2_v2"],
  ["Standard_dc8AS_CC_v5", "Standard_DC8as_cc_v5"],
  ["standard_nc4as_t4_v3", "Standard_NC4as_T4_v3"],
  ["standard_nc24ads_a100_v4", "Standard_NC24ads_A100_v4"],
  ["basic_a1", "Basic_A1"],
  ["no size", "no size"],
])("sizeSpelling(%j) is Azure's", (given, spelled) => {
  expect(sizeSpelling(given)).toBe(spelled);
});

test("sizeSpelling() changes no size of the table", () => {
  // A pattern that takes anything also takes what is no size.
  for (const { regex } of CSV.filter((row) => !row.regex.includes(".*"))) {
    fc.assert(
      fc.property(
        fc.stringMatching(new RegExp(regex)).filter((name) => name.length <= 64),
        (name) => {
          expect(sizeSpelling(name)).toBe(name);
        },
      ),
      { numRuns: 10 },
    );
  }
});

describe("sizeRefusal()", () => {
  test("is what AKS answered, letter by letter", () => {
    expect(sizeRefusal().text).toBe(
      [
        '(InvalidWorkloadRuntimeSettingError) Kata: "KataMshvVmIsolation" has to be used with vm size that supports nested virtualization. See https://aka.ms/aks/podsandbox for details.',
        "Code: InvalidWorkloadRuntimeSettingError",
        'Message: Kata: "KataMshvVmIsolation" has to be used with vm size that supports nested virtualization. See https://aka.ms/aks/podsandbox for details.',
      ].join("\n"),
    );
  });

  test("quotes the value as it was given", () => {
    expect(sizeRefusal("KataVmIsolation").message).toMatch(/^Kata: "KataVmIsolation" has to be used/);
  });
});

describe("nearestSizes()", () => {
  test.each([
    ["Standard_D2ls_v5", ["Standard_D4s_v3", "Standard_D2s_v5", "Standard_D2s_v4", "Standard_D2as_v5"]],
    ["Standard_D4as_v4", ["Standard_D4s_v3", "Standard_D4as_v5", "Standard_D4s_v4", "Standard_D4ads_v5"]],
    ["Standard_E64as_v4", ["Standard_D4s_v3", "Standard_E64as_v5", "Standard_E64s_v4", "Standard_E64ads_v5"]],
    ["Standard_F16", ["Standard_D4s_v3", "Standard_F16s_v2", "Standard_D16s_v3", "Standard_D16s_v4"]],
  ])("of %s", (size, expected) => {
    expect(nearestSizes(size).map((each) => each.size)).toEqual(expected);
  });

  test("proposes only what works, and never what was asked about", () => {
    for (const size of ["Standard_D4s_v3", "Standard_D4s_v5", "Standard_M416ms_v2", "nonsense"]) {
      const found = nearestSizes(size);
      expect(found.map((each) => sizeFacts(each.size).verdict)).toEqual(found.map(() => "yes"));
      expect(found.map((each) => each.size)).not.toContain(size);
    }
  });
});
