/** The mount helper of verified layers, by its exact command line. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), "../../build/bin/kata-overlay");
const MAX_BYTES = 1 << 20;
const PREFIX = "io.katacontainers.fs-opt.";

let directory: string;
let target: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-overlay-test-"));
  target = join(directory, "target");
  mkdirSync(target);
});
afterEach(() => {
  spawnSync("umount", [target]);
  rmSync(directory, { recursive: true });
});

const layer = (text: string) => `${PREFIX}layer=${Buffer.from(text).toString("base64")}`;
/** A directory as a layer: mount(8) binds it, so that the test needs no file system of its own. */
function directoryLayer(name: string, files: Readonly<Record<string, string>>): string {
  mkdirSync(join(directory, name));
  for (const [file, content] of Object.entries(files)) writeFileSync(join(directory, name, file), content);
  return layer(`${name},none,bind,ro,${PREFIX}is-layer,${PREFIX}root-hash=00`);
}
const run = (...args: string[]) =>
  spawnSync(PROGRAM, args, { encoding: "utf8", env: { ...process.env, TMPDIR: directory } });
const mounts = () =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(directory));

test("is smaller than a megabyte", () => {
  expect(statSync(PROGRAM).size).toBeLessThanOrEqual(MAX_BYTES);
});

test("shows layers one over the other, read-only, and leaves nothing else mounted", () => {
  const options = [
    `${PREFIX}layer-src-prefix=${directory}`,
    directoryLayer("top", { both: "top", upper: "1" }),
    directoryLayer("bottom", { both: "bottom", lower: "2" }),
    `${PREFIX}overlay-rw`,
    "lowerdir=a:b",
  ].join(",");
  const { status, stdout, stderr } = run("/", target, "-o", options, "-t", "kata-overlay");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout.replace(/\.tmp\w+/g, "TMP")).toBe(
    `Mounting "${directory}/top" to "${directory}/TMP/0"\nMounting "${directory}/bottom" to "${directory}/TMP/1"\n`,
  );
  expect(readdirSync(target).sort()).toEqual(["both", "lower", "upper"]);
  expect(readFileSync(join(target, "both"), "utf8")).toBe("top");
  expect(() => writeFileSync(join(target, "new"), "")).toThrow("EROFS");
  expect(mounts()).toHaveLength(1);
  expect(readdirSync(directory).sort()).toEqual(["bottom", "target", "top"]);
});

test("binds a single layer", () => {
  const options = [`${PREFIX}layer-src-prefix=${directory}`, directoryLayer("only", { file: "1" })].join(",");
  expect(run("/", target, `--options=${options}`)).toMatchObject({ status: 0, stderr: "" });
  expect(readdirSync(target)).toEqual(["file"]);
  expect(mounts()).toHaveLength(1);
});

describe("fails as the helper that it stands in for", () => {
  test.each([
    [
      "a layer that is no base64",
      [`${PREFIX}layer=?`],
      /^Error: Custom \{ kind: InvalidInput, error: ".*" \}\n$/,
    ],
    [
      "a layer without a type",
      [layer("/x")],
      /^Error: Custom \{ kind: InvalidInput, error: "Missing filesystem type from \/x" \}\n$/,
    ],
    [
      "a layer that cannot be mounted",
      [layer("/nonexistent,none,bind")],
      /Error: Custom \{ kind: Other, error: "failed to mount \\"\/nonexistent\\": exit status: 32" \}\n$/,
    ],
  ])("at %s", (_what, options, expected) => {
    const { status, stderr } = run("/", target, "-o", options.join(","));
    expect(status).toBe(1);
    expect(stderr).toMatch(expected);
    expect(mounts()).toEqual([]);
    expect(readdirSync(directory)).toEqual(["target"]);
  });

  test.each([
    [[], /required arguments were not provided:\n {2}<SOURCE>\n {2}<DIRECTORY>/],
    [["/"], /required arguments were not provided:\n {2}<DIRECTORY>/],
    [["/", "/x", "/y"], /unexpected argument '\/y' found/],
    [["/", "/x", "--rw"], /unexpected argument '--rw' found/],
    [["/", "/x", "-o"], /a value is required for '--options <OPTIONS>'/],
  ])("at the command line %j", (args, expected) => {
    const { status, stderr } = run(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error: /);
    expect(stderr).toMatch(expected);
  });

  test("--help tells its arguments", () => {
    expect(execFileSync(PROGRAM, ["--help"], { encoding: "utf8" })).toContain(
      "Usage: kata-overlay [OPTIONS] <SOURCE> <DIRECTORY>",
    );
  });
});
