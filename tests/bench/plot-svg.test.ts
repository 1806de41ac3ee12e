import { describe, expect, it } from "vitest";
import { curvePlots, ratioBars } from "./plot-svg.ts";

describe("ratioBars", () => {
  it("draws a bar for each ratio, on a logarithmic scale that has runc at one", () => {
    const picture = ratioBars({ "ctr-run kata-pool": 1, "ctr-run kata-cold": 10, "a<b": 0.01 });
    const widths = [...picture.matchAll(/<rect x="230" y="\d+" width="([\d.]+)"/g)].map(([, width]) =>
      Number(width),
    );
    expect(widths).toEqual([205, 410, 0]);
    expect(picture).toContain(">10×</text>");
    expect(picture).toContain("a&lt;b");
    expect(picture).toContain('<line x1="435" x2="435"');
  });
});

describe("curvePlots", () => {
  const curve = {
    title: "mounts",
    xName: "mounts",
    yName: "ms",
    points: [
      [0, 0],
      [100, 50],
      [200, 100],
    ],
  } as const;

  it("draws what grows in proportion as a straight line", () => {
    const picture = curvePlots([curve]);
    expect(picture).toContain('points="45,175 182.5,110 320,45"');
    expect(picture).toContain(">100 ms</text>");
    expect(picture).toContain(">200 mounts</text>");
  });

  it("refuses a curve that is none", () => {
    expect(() => curvePlots([{ ...curve, points: [[1, 1]] }])).toThrow(RangeError);
  });
});
