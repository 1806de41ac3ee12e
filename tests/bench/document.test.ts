import { expect, test } from "vitest";
import { costOfOne, shownFigure, withFigures } from "./document.ts";
import { figure, PHASE } from "./figure.ts";

const PAGE =
  "# Page\n<!-- figures of `npm run bench` begin -->\nold\n<!-- figures of `npm run bench` end -->\nafter\n";

test.each([
  ["ms", 12.345, "12.3 ms"],
  ["ms", 1140, "1.14 s"],
  ["us", 170, "170 µs"],
  ["us", 1500, "1.5 ms"],
  ["bytes", 5 << 20, "5 MiB"],
  ["bytes/s", 140e6, "140 MB/s"],
  ["cores", 0.005, "0.5 %"],
  ["pods/s", 1.25, "1.25 pods/s"],
  ["pods", 200, "200 pods"],
  ["times", 1.25, "1.25 times"],
] as const)("a figure in %s is shown with its unit: %d", (unit, value, text) => {
  expect(shownFigure(unit, value)).toBe(text);
});

test("withFigures() writes what is between the marks anew, with ratios of times alone", () => {
  const figures = [
    figure("ctr-run", "runc", "ms", [100]),
    figure("ctr-run", "kata-pool", "ms", [250]),
    figure("tcp-send", "kata", "bytes/s", [1e6]),
  ];
  const curve = {
    title: "sandboxes",
    xName: "sandboxes",
    yName: "ms",
    points: [
      [1, 900],
      [2, 1800],
    ],
  } as const;
  const page = withFigures(PAGE, figures, [curve]);
  expect(page).toBe(`# Page
<!-- figures of \`npm run bench\` begin -->

| What | Of | Median | p99 | Measurements | Times runc's |
|---|---|---|---|---|---|
| \`ctr-run\` | runc | 100 ms | 100 ms | 1 | 1 |
| \`ctr-run\` | kata-pool | 250 ms | 250 ms | 1 | 2.5 |
| \`tcp-send\` | kata | 1 MB/s | 1 MB/s | 1 |  |

| sandboxes | All | One |
|---|---|---|
| 1 sandboxes | 900 ms | 900 ms |
| 2 sandboxes | 1.8 s | 900 ms |

<!-- figures of \`npm run bench\` end -->
after
`);
  expect(withFigures(page, figures, [curve])).toBe(page);
});

test("withFigures() gives the phases of a start a table of their own, with a column for each way to start", () => {
  const figures = [
    figure("ctr-run", "kata-pool", "ms", [250]),
    figure(PHASE, "kata-pool: calls: Create", "ms", [109]),
    figure(PHASE, "kata-pool: guest: clone", "ms", [3]),
    figure(PHASE, "kata-template: calls: Create", "ms", [670]),
  ];
  expect(withFigures(PAGE, figures, [])).toContain(`
| \`ctr-run\` | kata-pool | 250 ms | 250 ms | 1 |  |

| Phase, median | kata-pool | kata-template |
|---|---|---|
| calls: Create | 109 ms | 670 ms |
| guest: clone | 3 ms | – |
`);
});

test("costOfOne() tells how fast bytes are, and what one of all else costs", () => {
  expect([costOfOne("MiB", 10, 1000), costOfOne("mounts", 20, 1000)]).toEqual(["10.5 MB/s", "50 ms"]);
});

test("withFigures() refuses a page without marks", () => {
  expect(() => withFigures("# Page\n", [], [])).toThrow("has no lines");
});
