import { describe, expect } from "vitest";
import { test } from "../harness/workbench.ts";

describe("ctr run", () => {
  for (const status of [0, 1, 42, 255]) {
    test(`exits with ${status} when the workload does`, async ({ bench }) => {
      const result = await bench.run(`exit ${status}`);
      expect(result).toMatchObject({ status, stdout: "", stderr: "" });
    });
  }

  test("says which program is missing when the workload cannot be executed", async ({ bench }) => {
    const result = await bench.ctr.runContainer(bench.request(["/no/such/program"]));
    expect(result.status).not.toBe(0);
    expect(result.stderr).toContain("/no/such/program");
  });

  test("gives the workload its arguments, environment and working directory unchanged", async ({ bench }) => {
    const awkward = "two words; $HOME `x` \"q\" 'p' ü ✓\ttab";
    const flags = ["--env", `AWKWARD=${awkward}`, "--cwd", "/tmp"];
    const script = 'pwd; printf "%s\\n" "$AWKWARD" "$#" "$@"';
    const command = ["sh", "-c", script, "sh", awkward, "", "--last"];
    const result = await bench.ctr.runContainer(bench.request(command, flags));
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toBe(`/tmp\n${awkward}\n3\n${awkward}\n\n--last\n`);
  });
});
