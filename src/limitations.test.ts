/** docs/limitations.md says of each of upstream's limitations what became of it, and names tests that there are. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Rows of the list that the project is measured by. */
const LIMITATIONS = 47;

const LEAST_LIFTED = 20;

interface Row {
  readonly number: number;
  readonly state: string;
  readonly reason: string;
}

/** A test that a row names: its file, and the beginning or the whole of its title. */
interface NamedTest {
  readonly path: string;
  readonly title: string;
}

const rows: readonly Row[] = readFileSync(join(ROOT, "docs/limitations.md"), "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, number, , state = "", reason = ""] = line.split("|").map((cell) => cell.trim());
    return /^\d+$/.test(number ?? "") ? [{ number: Number(number), state, reason }] : [];
  });

function namedTests(reason: string): NamedTest[] {
  return [...reason.matchAll(/`([\w./-]+\.test\.ts)`: "([^"]+)"/g)].map(([, path = "", title = ""]) => ({
    path,
    title,
  }));
}

describe("the table of upstream's limitations", () => {
  test("has every row once, in order", () => {
    expect(rows.map(({ number }) => number)).toEqual(
      Array.from({ length: LIMITATIONS }, (_, index) => index + 1),
    );
  });

  test.each(rows)("says of $number what became of it, and why", ({ state, reason }) => {
    expect(["lifted", "same", "not applicable"]).toContain(state);
    expect(reason).not.toBe("");
  });

  test("has as many lifted as the project has promised", () => {
    expect(rows.filter(({ state }) => state === "lifted").length).toBeGreaterThanOrEqual(LEAST_LIFTED);
  });

  const lifted = rows.filter(({ state }) => state === "lifted");

  test.each(lifted)("names tests that there are for $number", ({ reason }) => {
    const tests = namedTests(reason);
    expect(tests.length).toBeGreaterThan(0);
    expect([...reason.matchAll(/\.test\.ts`/g)]).toHaveLength(tests.length);
    for (const { path, title } of tests) {
      expect(existsSync(join(ROOT, path)), path).toBe(true);
      expect(readFileSync(join(ROOT, path), "utf8"), path).toContain(title);
    }
  });
});
