import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { madeOnce } from "./made-once.ts";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "made-once-"));
});
afterEach(() => rmSync(cache, { recursive: true, force: true }));

test("of several at once the first one's directory stays, and nothing else", async () => {
  const directory = join(cache, "deep/package");
  const makers = ["a", "b", "c"].map((name) =>
    madeOnce(directory, (unfinished) => writeFile(join(unfinished, "file"), name)),
  );
  expect(await Promise.all(makers)).toEqual([directory, directory, directory]);
  expect(readdirSync(join(cache, "deep"))).toEqual(["package"]);
  const kept = readFileSync(join(directory, "file"), "utf8");
  await madeOnce(directory, () => Promise.reject(new Error("filled again")));
  expect(readFileSync(join(directory, "file"), "utf8")).toBe(kept);
});

test("a failure leaves nothing, and is told", async () => {
  const directory = join(cache, "package");
  const failing = madeOnce(directory, async (unfinished) => {
    await writeFile(join(unfinished, "file"), "half");
    throw Object.assign(new Error("disk full"), { code: "ENOTEMPTY" });
  });
  await expect(failing).rejects.toThrow("disk full");
  expect(existsSync(directory)).toBe(false);
  expect(readdirSync(cache)).toEqual([]);
});
