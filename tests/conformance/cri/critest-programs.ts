/**
 * critest, crictl and ginkgo, which runs critest's specs side by side: built from the pinned Go module, whose checksum Go compares
 * with its public log. They are kept in build/cache.
 */
import { existsSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { mustRun } from "../../harness/command.ts";

const MODULE = "sigs.k8s.io/cri-tools";
export const CRI_TOOLS_VERSION = "v1.34.0";
/** Of the module's files; a proxy that gives out others is refused. */
const CHECKSUM = "h1:KqL9EJ+WgHtz1HR1exezm91n+o8O2uMLs/eHzHJHAWw=";

/** Some 150 modules are downloaded and compiled the first time, ms. */
const BUILD_DEADLINE_MS = 30 * 60_000;

const CACHE = join(import.meta.dirname, "../../../build/cache/cri");

export interface CritestPrograms {
  readonly critest: string;
  readonly crictl: string;
  readonly ginkgo: string;
}

/** The programs; undefined where there is no `go`. @throws Error if the module is not what was pinned, or does not build. */
export async function critestPrograms(
  progress: (text: string) => void,
): Promise<CritestPrograms | undefined> {
  const directory = join(CACHE, `cri-tools-${CRI_TOOLS_VERSION}`);
  const programs = {
    critest: join(directory, "critest.test"),
    crictl: join(directory, "crictl"),
    ginkgo: join(directory, "ginkgo"),
  };
  if (Object.values(programs).every((path) => existsSync(path))) return programs;
  if (!(await haveGo())) return undefined;
  progress(`building critest ${CRI_TOOLS_VERSION} (once, about two minutes)`);
  const source = await moduleDirectory();
  await mkdir(directory, { recursive: true });
  await build(source, ["test", "-c"], "./cmd/critest", programs.critest);
  await build(source, ["build"], "./cmd/crictl", programs.crictl);
  await build(source, ["build"], "github.com/onsi/ginkgo/v2/ginkgo", programs.ginkgo);
  return programs;
}

async function haveGo(): Promise<boolean> {
  try {
    await mustRun("go", ["version"]);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** Where Go's cache has the module's source, with its own `go.mod` and `go.sum`, which pin all that it needs. */
async function moduleDirectory(): Promise<string> {
  const args = ["mod", "download", "-json", `${MODULE}@${CRI_TOOLS_VERSION}`];
  const answer = await mustRun("go", args, { cwd: "/", deadlineMs: BUILD_DEADLINE_MS });
  const { Dir, Sum } = JSON.parse(answer) as { Dir: string; Sum: string };
  if (Sum !== CHECKSUM)
    throw new Error(`${MODULE}@${CRI_TOOLS_VERSION} has checksum ${Sum}, not ${CHECKSUM}`);
  return Dir;
}

async function build(source: string, verb: readonly string[], what: string, output: string): Promise<void> {
  const unfinished = `${output}.${process.pid}`;
  await mustRun("go", [...verb, "-trimpath", "-o", unfinished, what], {
    cwd: source,
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly -buildvcs=false" },
    deadlineMs: BUILD_DEADLINE_MS,
  });
  await rename(unfinished, output);
}
