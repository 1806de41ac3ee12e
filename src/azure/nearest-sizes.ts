/** Sizes to take instead of one that does not work. */
import { sizeFacts, sizeSpelling } from "./size-facts.ts";

export interface NearSize {
  readonly size: string;
  /** AKS was seen to accept it; else it is what Azure documents. */
  readonly observed: boolean;
}

/** A size taken apart: `Standard_D4ds_v5`. */
interface SizeParts {
  readonly family: string;
  readonly cpus: number;
  readonly features: string;
  readonly version: number;
}

function partsOf(size: string): SizeParts | undefined {
  const match = /^Standard_([A-Z]+)(\d+)(?:-\d+)?([a-z]*)(?:_[a-zA-Z]\w*?)??(?:_v(\d+))?$/.exec(size);
  if (match === null) return undefined;
  const [, family = "", cpus = "", features = "", version = "1"] = match;
  return { family, cpus: Number(cpus), features, version: Number(version) };
}

/** CPUs of the sizes of common series. Source: the pages of the series in MicrosoftDocs/azure-compute-docs. */
const SERIES: readonly (readonly [family: string, features: string, version: number, cpus: string])[] = [
  ["D", "s", 3, "2 4 8 16 32 48 64"],
  ["D", "s", 4, "2 4 8 16 32 48 64"],
  ["D", "ds", 4, "2 4 8 16 32 48 64"],
  ["D", "s", 5, "2 4 8 16 32 48 64 96"],
  ["D", "ds", 5, "2 4 8 16 32 48 64 96"],
  ["D", "as", 5, "2 4 8 16 32 48 64 96"],
  ["D", "ads", 5, "2 4 8 16 32 48 64 96"],
  ["E", "s", 4, "2 4 8 16 20 32 48 64"],
  ["E", "s", 5, "2 4 8 16 20 32 48 64 96"],
  ["E", "ds", 5, "2 4 8 16 20 32 48 64 96"],
  ["E", "as", 5, "2 4 8 16 20 32 48 64 96"],
  ["E", "ads", 5, "2 4 8 16 20 32 48 64 96"],
  ["F", "s", 2, "2 4 8 16 32 48 64 72"],
  ["L", "s", 3, "8 16 32 48 64 80"],
];

/** The one that AKS was seen to accept. */
const OBSERVED = "Standard_D4s_v3";

/** Machines for everything: the ones to take where there are none of the wanted family. */
const USUAL_FAMILY = "D";

/** What a step away costs: another family of machines is farther than another generation of one. */
const COST = { cpus: 4, family: 3, version: 0.5, feature: 1 };

/**
 * Sizes that work and are nearest to `name`: first the one that AKS was seen to accept, then what is documented to work, by
 * likeness of CPUs, family, features and version.
 *
 * @param count of documented ones.
 */
export function nearestSizes(name: string, count = 3): readonly NearSize[] {
  const size = sizeSpelling(name);
  const wanted = partsOf(size) ?? { family: "D", cpus: 4, features: "s", version: 5 };
  const documented = SERIES.flatMap(([family, features, version, ladder]) =>
    ladder.split(" ").map((cpus): SizeParts => ({ family, cpus: Number(cpus), features, version })),
  )
    .map((parts) => ({ size: spell(parts), distance: distance(wanted, parts) }))
    .filter((each) => each.size !== OBSERVED && each.size !== size && sizeFacts(each.size).verdict === "yes")
    .sort((a, b) => a.distance - b.distance || (a.size < b.size ? -1 : 1))
    .slice(0, count);
  const observed = size === OBSERVED ? [] : [{ size: OBSERVED, observed: true }];
  return [...observed, ...documented.map((each) => ({ size: each.size, observed: false }))];
}

function spell({ family, cpus, features, version }: SizeParts): string {
  return `Standard_${family}${cpus}${features}_v${version}`;
}

function distance(a: SizeParts, b: SizeParts): number {
  const cpus = Math.abs(Math.log2(Math.max(a.cpus, 1)) - Math.log2(b.cpus));
  const differing = [...a.features].filter((letter) => !b.features.includes(letter)).length;
  const more = [...b.features].filter((letter) => !a.features.includes(letter)).length;
  return (
    cpus * COST.cpus +
    (a.family === b.family ? 0 : b.family === USUAL_FAMILY ? COST.family : COST.family + 1) +
    Math.abs(a.version - b.version) * COST.version +
    (differing + more) * COST.feature
  );
}
