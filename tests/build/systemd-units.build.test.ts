/** The units of `deploy/systemd`: systemd understands them, and a service does what its unit expects of it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mustRun, runCommand, startCommand } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { BUILT_PROGRAMS } from "../harness/kata-configuration.ts";

const UNITS = join(dirname(fileURLToPath(import.meta.url)), "../../deploy/systemd");
const ANSWER_MS = 20_000;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-units-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("systemd understands all units", async () => {
  const names = readdirSync(UNITS);
  for (const name of names) {
    // Programs are looked for where they have been built.
    const text = readFileSync(join(UNITS, name), "utf8").replace(
      /\/usr\/(local\/)?bin\/(?=kata-)/g,
      `${BUILT_PROGRAMS}/`,
    );
    writeFileSync(join(directory, name), text);
  }
  const { status, stdout, stderr } = await runCommand("systemd-analyze", [
    "verify",
    "--man=no",
    ...names.map((name) => join(directory, name)),
  ]);
  const ofOurs = `${stdout}${stderr}`.split("\n").filter((line) => line.includes("kata-"));
  expect({ status, ofOurs }).toEqual({ status: 0, ofOurs: [] });
});

test("the pool's service answers at the socket that it is started with, and leaves the socket's file to who made it", async () => {
  const endpoint = join(directory, "cache.sock");
  const configuration = join(directory, "configuration.toml");
  // Without a kernel no machine can be made, which the pool says instead of ending.
  writeFileSync(
    configuration,
    [
      "[hypervisor.qemu]",
      `kernel = "${directory}/no-kernel"`,
      "[factory]",
      `template_path = "${directory}/templates"`,
      "vm_cache_number = 2",
      "vm_cache_memory = 4096",
      `vm_cache_endpoint = "${endpoint}"`,
      "",
    ].join("\n"),
  );
  const program = join(BUILT_PROGRAMS, "kata-runtime");
  const env = { ...process.env, KATA_CONF_FILE: configuration };
  const flags = ["--listen", endpoint, "-E", `KATA_CONF_FILE=${configuration}`];
  await using service = startCommand("systemd-socket-activate", [...flags, program, "factory", "serve"], {
    env,
  });
  const status = async () =>
    JSON.parse(await mustRun(program, ["factory", "status", "--json"], { env })) as {
      readonly pool: Readonly<Record<string, unknown>> | null;
    };
  await service.until("the socket is there", (_stdout, stderr) => stderr.includes("Listening on"), ANSWER_MS);
  const pool = await eventually("the pool says what is in the way", ANSWER_MS, async () => {
    const answer = (await status()).pool;
    return answer?.obstacle === "" ? undefined : answer;
  });
  expect(pool).toMatchObject({ pid: service.pid, wanted: 2, ready: [], given: 0, memoryBudgetMib: 4096 });
  expect(pool?.obstacle).toContain("no-kernel");
  const text = await mustRun(program, ["factory", "status"], { env });
  expect(text).toContain(`VM cache server pid = ${service.pid}\n`);
  expect(text).toContain("0 of 2 ready; 0 given, 0 refused\n0 MiB of memory of at most 4096 MiB");
  expect(text).toMatch(/in the way: .*no-kernel/);
  service.signal("SIGTERM");
  await service.exited(ANSWER_MS);
  expect(readdirSync(directory)).toContain("cache.sock");
});
