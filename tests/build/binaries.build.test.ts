import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { PROGRAMS } from "../../scripts/build/programs.ts";
import { elfSections, elfSegments, PT_INTERP } from "../../src/image/elf.ts";
import { runCommand } from "../harness/command.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

const LARGEST_BINARY_BYTES = 1_500_000;
const REBUILD_SECONDS = 5;

describe("npm run build", () => {
  for (const { output } of PROGRAMS) {
    test(`makes ${output} static, stripped and small`, () => {
      const data = readFileSync(join(ROOT, output));
      expect(elfSegments(data, output).filter(({ type }) => type === PT_INTERP)).toEqual([]);
      const sections = elfSections(data, output).map(({ name }) => name);
      expect(sections.filter((name) => /^\.(symtab|strtab|debug)/.test(name))).toEqual([]);
      expect(data.length).toBeLessThanOrEqual(LARGEST_BINARY_BYTES);
      expect(statSync(join(ROOT, output)).mode & 0o111).toBe(0o111);
    });
  }

  test("makes all of them again with 5 s of work, as after a change in one file", async () => {
    // Time of the processor, so that it does not matter who else uses the machine; alone, it does not take longer than that.
    const timed = "TIMEFORMAT='worked %U %S'; time npm run --silent build";
    const { status, stdout, stderr } = await runCommand("bash", ["-c", timed], { cwd: ROOT });
    expect(status, stderr).toBe(0);
    for (const { output } of PROGRAMS) expect(stdout).toMatch(new RegExp(`^${output} +\\d+ KiB$`, "m"));
    const [, user, system] = /^worked ([\d.]+) ([\d.]+)$/m.exec(stderr) ?? [];
    expect(Number(user) + Number(system)).toBeLessThan(REBUILD_SECONDS);
  });

  test("names the choice when a program is asked for that is none", async () => {
    const { status, stderr } = await runCommand(
      "npx",
      ["tsx", "scripts/build/build.ts", "--only", "kata-agnt"],
      { cwd: ROOT },
    );
    expect(status).toBe(1);
    expect(stderr).toContain("containerd-shim-kata-v2, kata-runtime, kata-agent");
  });
});
