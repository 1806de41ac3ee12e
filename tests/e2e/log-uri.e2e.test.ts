import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { listProcesses } from "../harness/processes.ts";
import { test } from "../harness/workbench.ts";

const TALK = "echo out; echo err >&2";

/** Takes what it gets into files beside it, as containerd's contract for logging programs has it. */
const LOGGER = `#!/bin/sh
cd "$2" || exit 1
echo "$CONTAINER_ID $CONTAINER_NAMESPACE" > facts
cat <&3 > stdout 5>&- &
cat <&4 > stderr 5>&- &
exec 5>&-
wait
`;

describe("a container's output", () => {
  test("goes to the file that its client names", async ({ bench }) => {
    const file = join(bench.scratch, "container.log");
    const result = await bench.run(TALK, ["--log-uri", `file://${file}`]);
    expect(result).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(readFileSync(file, "utf8").split("\n").sort()).toEqual(["", "err", "out"]);
  });

  test("goes to the program that its client names, which ends after it", async ({ bench }) => {
    const program = join(bench.scratch, "logger");
    writeFileSync(program, LOGGER, { mode: 0o755 });
    const id = bench.newId();
    const uri = `binary://${program}?dir=${encodeURIComponent(bench.scratch)}`;
    await bench.detach(`${TALK}; exit 4`, ["--log-uri", uri], id);
    await expect
      .poll(() => ["facts", "stdout", "stderr"].map((name) => readIfThere(join(bench.scratch, name))), {
        timeout: 30_000,
      })
      .toEqual([`${id} ${bench.ctr.instance.tag}\n`, "out\n", "err\n"]);
    await expect.poll(() => bench.ctr.taskState(id), { timeout: 10_000 }).toMatchObject({ state: "STOPPED" });
    expect(await bench.ctr.deleteTask(id)).toBe(4);
    const logger = () => listProcesses().filter(({ argv }) => argv.includes(program));
    await expect.poll(logger, { timeout: 15_000 }).toEqual([]);
  });
});

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
