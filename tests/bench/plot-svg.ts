/** Plots as SVG: bars of what a subject needs beside runc, and lines of what more work costs. */
import type { Baseline } from "./baseline.ts";

export interface Curve {
  readonly title: string;
  readonly xName: string;
  readonly yName: string;
  /** Ascending in x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

const WIDTH = 720;
const ROW = 26;
const LABEL = 230;
const MARGIN = 20;
const CURVE_WIDTH = 340;
const CURVE_HEIGHT = 220;
const CURVE_MARGIN = 45;
const TEXT = 'font-family="sans-serif" font-size="12" fill="#24292f"';

/** A bar for each ratio; a line marks runc. The scale is logarithmic, from one tenth to beyond the largest. */
export function ratioBars(ratios: Baseline): string {
  const rows = Object.entries(ratios);
  const largest = Math.max(10, ...rows.map(([, ratio]) => ratio));
  const decades = Math.ceil(Math.log10(largest)) + 1;
  const scale = (WIDTH - LABEL - 80) / decades;
  const xOf = (ratio: number) => LABEL + Math.max(0, Math.log10(ratio) + 1) * scale;
  const bars = rows.map(([name, ratio], index) => {
    const y = MARGIN + index * ROW;
    return [
      `<text x="${LABEL - 8}" y="${y + 15}" text-anchor="end" ${TEXT}>${escaped(name)}</text>`,
      `<rect x="${LABEL}" y="${y}" width="${fixed(xOf(ratio) - LABEL)}" height="${ROW - 8}" fill="#4078c0"/>`,
      `<text x="${fixed(xOf(ratio) + 6)}" y="${y + 15}" ${TEXT}>${ratio}×</text>`,
    ].join("");
  });
  const height = MARGIN * 2 + rows.length * ROW;
  const line = `<line x1="${fixed(xOf(1))}" x2="${fixed(xOf(1))}" y1="${MARGIN / 2}" y2="${height - MARGIN}" stroke="#d73a49"/>`;
  const label = `<text x="${fixed(xOf(1))}" y="${height - 5}" text-anchor="middle" ${TEXT}>runc</text>`;
  return svg(WIDTH, height, [...bars, line, label].join("\n"));
}

/** Curves beside and below each other, each from zero. @throws RangeError for a curve without two points. */
export function curvePlots(curves: readonly Curve[]): string {
  const plots = curves.map((curve, index) => {
    const left = (index % 2) * (CURVE_WIDTH + MARGIN);
    const top = Math.floor(index / 2) * (CURVE_HEIGHT + MARGIN);
    return `<g transform="translate(${left},${top})">${curvePlot(curve)}</g>`;
  });
  const rows = Math.ceil(curves.length / 2);
  return svg(2 * CURVE_WIDTH + MARGIN, rows * (CURVE_HEIGHT + MARGIN), plots.join("\n"));
}

function curvePlot({ title, xName, yName, points }: Curve): string {
  if (points.length < 2) throw new RangeError(`${title}: a curve has two points or more`);
  const xMost = Math.max(...points.map(([x]) => x));
  const yMost = Math.max(...points.map(([, y]) => y)) || 1;
  const right = CURVE_WIDTH - MARGIN;
  const bottom = CURVE_HEIGHT - CURVE_MARGIN;
  const xOf = (x: number) => CURVE_MARGIN + (x / xMost) * (right - CURVE_MARGIN);
  const yOf = (y: number) => bottom - (y / yMost) * (bottom - CURVE_MARGIN);
  const path = points.map(([x, y]) => `${fixed(xOf(x))},${fixed(yOf(y))}`).join(" ");
  return [
    `<text x="${CURVE_WIDTH / 2}" y="18" text-anchor="middle" ${TEXT} font-weight="bold">${escaped(title)}</text>`,
    `<polyline points="${CURVE_MARGIN},${CURVE_MARGIN} ${CURVE_MARGIN},${bottom} ${right},${bottom}" fill="none" stroke="#8c959f"/>`,
    `<text x="${CURVE_MARGIN}" y="${CURVE_MARGIN - 8}" ${TEXT}>${shown(yMost)} ${escaped(yName)}</text>`,
    `<text x="${right}" y="${bottom + 18}" text-anchor="end" ${TEXT}>${shown(xMost)} ${escaped(xName)}</text>`,
    `<polyline points="${path}" fill="none" stroke="#4078c0" stroke-width="2"/>`,
    ...points.map(([x, y]) => `<circle cx="${fixed(xOf(x))}" cy="${fixed(yOf(y))}" r="3" fill="#4078c0"/>`),
  ].join("");
}

function svg(width: number, height: number, content: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n<rect width="100%" height="100%" fill="#ffffff"/>\n${content}\n</svg>\n`;
}

function fixed(number: number): string {
  return number.toFixed(1).replace(/\.0$/, "");
}

function shown(number: number): string {
  return number >= 100 ? `${Math.round(number)}` : `${Math.round(number * 100) / 100}`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
