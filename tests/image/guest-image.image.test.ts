import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ImageManifest } from "../../src/image/image-manifest.ts";
import { mustRun } from "../harness/command.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const IMAGE = join(ROOT, "build/image");
const BUILDER = [join(ROOT, "node_modules/.bin/tsx"), join(ROOT, "src/image/build-image.ts")] as const;
const AGENT = join(ROOT, "build/bin/kata-agent");

/** An empty image and a manifest that says nothing are not worth a comparison, bytes. */
const SMALLEST_INITRD = 1 << 20;

let scratch: string;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "kata-image-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Every file of a directory by name, as its hash. */
function hashesOf(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory)
      .sort()
      .map((name) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(directory, name)))
          .digest("hex"),
      ]),
  );
}

/** Builds into an own directory, in surroundings that a careless builder would let into its output. */
async function build(name: string, umask: string, env: NodeJS.ProcessEnv): Promise<string> {
  const output = join(scratch, name);
  const line = `umask ${umask}; exec "$@"`;
  await mustRun("sh", ["-c", line, "sh", ...BUILDER, "--force", "--agent", AGENT, "--output", output], {
    cwd: scratch,
    env: { ...process.env, ...env },
    deadlineMs: 120_000,
  });
  return output;
}

describe("npm run image", () => {
  test("gives byte-identical files when it is run again elsewhere, at another time of day and with another umask", async () => {
    const first = await build("first", "022", { TZ: "UTC", LANG: "C" });
    const second = await build("second", "077", { TZ: "Pacific/Auckland", LANG: "de_DE.UTF-8" });
    const hashes = hashesOf(first);
    expect(hashesOf(second)).toEqual(hashes);
    expect(hashesOf(IMAGE)).toEqual(hashes);
    expect(Object.keys(hashes)).toEqual(
      process.arch === "x64"
        ? ["initrd", "manifest.json", "vmlinux", "vmlinuz"]
        : ["initrd", "manifest.json", "vmlinuz"],
    );
    expect(readFileSync(join(first, "initrd")).length).toBeGreaterThan(SMALLEST_INITRD);
  });

  test("prints the size of each file and says that nothing is to do when nothing has changed", async () => {
    const { outputs, kernel, modules } = manifest();
    const printed = await mustRun(BUILDER[0], [BUILDER[1]], { cwd: ROOT, deadlineMs: 120_000 });
    const rows = outputs.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
    for (const { name, bytes, sha256 } of rows) {
      expect(printed).toMatch(
        new RegExp(`build/image/${name} +${(bytes / (1 << 20)).toFixed(1)} MiB +sha256:${sha256}\n`),
      );
    }
    expect(printed).toContain(`kernel ${kernel.release} (${kernel.version}), ${modules.length} modules\n`);
  });
});

describe("the initial file system", () => {
  test("holds the agent as /init, readable for another reader of its format", async () => {
    const listed = await unpack(join(scratch, "unpacked"));
    expect(listed).toContain("init");
    const init = readFileSync(join(scratch, "unpacked/init"));
    expect(sha256(init)).toBe(sha256(readFileSync(AGENT)));
    // No shell, and nothing else than what images are pulled with.
    expect(listed.filter((path) => path.startsWith("bin/"))).toEqual(["bin/kata-pull"]);
  });

  test("has a file for every line of modules.dep, after those that it depends on, and no other module", async () => {
    const directory = join(scratch, "modules");
    const listed = await unpack(directory);
    const seen = new Set<string>();
    const files: string[] = [];
    for (const line of linesOf(directory, "lib/modules/modules.dep")) {
      const [name = "", path = "", ...before] = line.split(" ");
      for (const dependency of before) expect(seen, `${dependency} before ${name}`).toContain(dependency);
      seen.add(name);
      files.push(`lib/modules/${path}`);
    }
    expect(listed.filter((path) => path.endsWith(".ko")).sort()).toEqual(files.sort());
    for (const list of ["early", "late"]) {
      const names = linesOf(directory, `etc/kata/modules.${list}`);
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) expect(seen).toContain(name);
    }
  });

  test("holds only the modules that the guest needs: a tenth of what the kernel's package brings", () => {
    const { modules } = manifest();
    const bytes = modules.reduce((sum, module) => sum + module.bytes, 0);
    expect(modules.length).toBeLessThan(100);
    expect(bytes).toBeLessThan(10 << 20);
  });
});

function manifest(): ImageManifest {
  return JSON.parse(readFileSync(join(IMAGE, "manifest.json"), "utf8")) as ImageManifest;
}

/** Unpacks build/image/initrd with busybox's cpio. @returns the paths in it. */
async function unpack(directory: string): Promise<string[]> {
  const script = 'mkdir "$1" && cd "$1" && busybox cpio -idmv < "$2" 2>&1';
  const listed = await mustRun("sh", ["-ec", script, "sh", directory, join(IMAGE, "initrd")]);
  return listed.split("\n").filter((line) => line !== "" && !/^\d+ blocks$/.test(line));
}

function linesOf(directory: string, file: string): string[] {
  const text = readFileSync(join(directory, file), "utf8");
  expect(text.endsWith("\n")).toBe(true);
  return text.slice(0, -1).split("\n");
}

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
