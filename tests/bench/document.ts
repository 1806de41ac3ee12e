/** The figures of a run as tables of a page: what stands between two marks is written anew. */
import { type Figure, PHASE } from "./figure.ts";
import type { Curve } from "./plot-svg.ts";

const BEGIN = "<!-- figures of `npm run bench` begin -->";
const END = "<!-- figures of `npm run bench` end -->";

const REFERENCE = "runc";
const MIB = 1 << 20;

/** A number with the unit that it is shown in, such as `1.14 s`. */
export function shownFigure(unit: Figure["unit"], value: number): string {
  switch (unit) {
    case "ms":
      return value >= 1000 ? `${significant(value / 1000)} s` : `${significant(value)} ms`;
    case "us":
      return value >= 1000 ? `${significant(value / 1000)} ms` : `${significant(value)} µs`;
    case "bytes":
      return `${significant(value / MIB)} MiB`;
    case "bytes/s":
      return `${significant(value / 1e6)} MB/s`;
    case "cores":
      return `${significant(value * 100)} %`;
    case "pods/s":
    case "pods":
    case "times":
      return `${significant(value)} ${unit}`;
  }
}

/** Three digits that count, without zeros that say nothing. */
function significant(value: number): string {
  return value >= 100 ? `${Math.round(value)}` : `${Number(value.toPrecision(3))}`;
}

/** @throws Error if `page` has not both marks, in their order. */
export function withFigures(page: string, figures: readonly Figure[], curves: readonly Curve[]): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`bench: the page has no lines ${BEGIN} and ${END}`);
  const isPhase = ({ name }: Figure) => name === PHASE;
  const tables = [
    figureTable(figures.filter((each) => !isPhase(each))),
    phaseTable(figures.filter(isPhase)),
    ...curves.map(curveTable),
  ].filter((table) => table !== "");
  return `${page.slice(0, begin)}${BEGIN}\n\n${tables.join("\n")}\n${page.slice(end)}`;
}

function figureTable(figures: readonly Figure[]): string {
  if (figures.length === 0) return "";
  const rows = figures.map(({ name, subject, unit, median, p99, n }) => {
    const reference = figures.find((other) => other.name === name && other.subject === REFERENCE);
    const isTime = unit === "ms" || unit === "us";
    const ratio =
      reference === undefined || !isTime || reference.median === 0
        ? ""
        : `${significant(median / reference.median)}`;
    return `| \`${name}\` | ${subject} | ${shownFigure(unit, median)} | ${shownFigure(unit, p99)} | ${n} | ${ratio} |\n`;
  });
  return `| What | Of | Median | p99 | Measurements | Times runc's |\n|---|---|---|---|---|---|\n${rows.join("")}`;
}

/** One row a phase of a start, one column a way to start. */
function phaseTable(phases: readonly Figure[]): string {
  if (phases.length === 0) return "";
  const ways: string[] = [];
  const rows = new Map<string, Map<string, string>>();
  for (const { subject, unit, median } of phases) {
    const colon = subject.indexOf(": ");
    const [way, phase] = [subject.slice(0, colon), subject.slice(colon + 2)];
    if (!ways.includes(way)) ways.push(way);
    const row = rows.get(phase) ?? new Map<string, string>();
    rows.set(phase, row.set(way, shownFigure(unit, median)));
  }
  const lines = [...rows].map(
    ([phase, row]) => `| ${phase} | ${ways.map((way) => row.get(way) ?? "–").join(" | ")} |\n`,
  );
  return `| Phase, median | ${ways.join(" | ")} |\n|---|${ways.map(() => "---|").join("")}\n${lines.join("")}`;
}

/** What one of them costs, or how fast bytes are: even where cost is linear. @param ms of all. */
export function costOfOne(xName: string, x: number, ms: number): string {
  return xName === "MiB" ? shownFigure("bytes/s", (x * MIB * 1000) / ms) : shownFigure("ms", ms / x);
}

function curveTable({ title, xName, yName, points }: Curve): string {
  const rows = points.map(([x, y]) => {
    const value = yName === "ms" ? shownFigure("ms", y) : `${y} ${yName}`;
    return `| ${x} ${xName} | ${value} | ${costOfOne(xName, x, y)} |\n`;
  });
  return `| ${title} | All | One |\n|---|---|---|\n${rows.join("")}`;
}
