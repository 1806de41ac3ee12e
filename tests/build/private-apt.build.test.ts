import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mustRun, runCommand } from "../harness/command.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const CACHE = join(ROOT, "build/cache/apt");
const FETCH = [
  join(ROOT, "node_modules/.bin/tsx"),
  join(ROOT, "tests/build/fixtures/fetch-engine-source.ts"),
];

/** What is the machine's own: its sources, keys, lists, cached packages and the record of what is installed. */
const MACHINE_PLACES = ["/etc/apt", "/var/lib/apt", "/var/cache/apt", "/var/lib/dpkg/status"];

/** Package lists come from a mirror, which may be slow, ms. */
const FETCH_DEADLINE_MS = 150_000;

let scratch: string;
let cachedBefore: readonly string[];

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "kata-apt-"));
  cachedBefore = existsSync(CACHE) ? readdirSync(CACHE) : [];
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
  // The lists of the mirrors that the tests made up.
  for (const name of existsSync(CACHE) ? readdirSync(CACHE) : []) {
    if (!cachedBefore.includes(name)) rmSync(join(CACHE, name), { recursive: true, force: true });
  }
});

function fetchEngine(name: string, env: NodeJS.ProcessEnv = {}) {
  const [program = "", ...args] = [...FETCH, join(scratch, name)];
  return runCommand(program, args, { env: { ...process.env, ...env }, deadlineMs: FETCH_DEADLINE_MS });
}

/** Every file's name, size and time of change. */
function stateOf(places: readonly string[]): string[] {
  return places.flatMap((place) => {
    const { size, mtimeMs } = statSync(place);
    const inner = statSync(place).isDirectory() ? readdirSync(place).sort() : [];
    return [`${place} ${size} ${mtimeMs}`, ...stateOf(inner.map((name) => join(place, name)))];
  });
}

/** A mirror in a directory that offers quickjs without any signature, and an apt.conf that makes it the machine's only one. */
async function unsignedMirror(name: string): Promise<string> {
  const mirror = join(scratch, `${name}-debian`);
  const index = join(mirror, "dists/trixie/main/source");
  mkdirSync(index, { recursive: true });
  const sources = "Package: quickjs\nVersion: 2025.04.26-1\nDirectory: pool\nFiles:\nChecksums-Sha256:\n";
  writeFileSync(join(index, "Sources"), sources);
  const hash = createHash("sha256").update(sources).digest("hex");
  const release = `Origin: Debian\nSuite: trixie\nCodename: trixie\nComponents: main\nSHA256:\n ${hash} ${sources.length} main/source/Sources\n`;
  writeFileSync(join(mirror, "dists/trixie/Release"), release);
  const parts = join(scratch, `${name}-parts`);
  mkdirSync(parts);
  writeFileSync(join(parts, "debian.list"), `deb [trusted=yes] file:${mirror} stable main\n`);
  const config = join(scratch, `${name}.conf`);
  const careless = [
    `Dir::Etc::SourceList "/dev/null";`,
    `Dir::Etc::SourceParts "${parts}";`,
    `Acquire::AllowInsecureRepositories "true";`,
    `Acquire::AllowDowngradeToInsecureRepositories "true";`,
    `APT::Get::AllowUnauthenticated "true";`,
  ];
  writeFileSync(config, `${careless.join("\n")}\n`);
  return config;
}

describe("the engine's source package", () => {
  test("is fetched and unpacked without touching the machine's own apt", async () => {
    const before = stateOf(MACHINE_PLACES);
    const { status, stdout, stderr } = await fetchEngine("own");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const unpacked = stdout.trim();
    expect(readdirSync(unpacked)).toEqual(expect.arrayContaining(["quickjs.c", "debian"]));
    expect(stateOf(MACHINE_PLACES)).toEqual(before);
    // Nothing but the source is left in the directory.
    expect(readdirSync(join(scratch, "own"))).toEqual([unpacked.slice(unpacked.lastIndexOf("/") + 1)]);
  });

  test("is refused from a mirror without a signature, even where the machine's apt would not mind", async () => {
    const config = await unsignedMirror("unsigned");
    // What apt thinks of the mirror when it is left alone: the test would prove nothing if apt refused it anyway.
    const lists = join(scratch, "lists");
    mkdirSync(join(lists, "partial"), { recursive: true });
    const list = join(scratch, "careless.list");
    writeFileSync(list, `deb-src file:${join(scratch, "unsigned-debian")} trixie main\n`);
    const careless = ["-o", `Dir::State::Lists=${lists}`, "-o", `Dir::Etc::SourceList=${list}`];
    await mustRun("apt-get", [...careless, "-o", "Dir::Etc::SourceParts=/dev/null", "update"], {
      env: { ...process.env, APT_CONFIG: config },
    });

    const { status, stdout, stderr } = await fetchEngine("refused", { APT_CONFIG: config });
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(
      /^fetch Debian source package: quickjs of trixie: .*(not signed|no longer signed)/,
    );
    expect(existsSync(join(scratch, "refused")) ? readdirSync(join(scratch, "refused")) : []).toEqual([]);
  });
});
