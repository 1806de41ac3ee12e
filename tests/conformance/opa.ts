/** The `opa` command and OPA's own test cases, both from the Go module of the pinned version. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";

const MODULE = "github.com/open-policy-agent/opa";
const VERSION = "v1.22.2";
const CACHE = resolve(import.meta.dirname, "../../build/cache/opa");
/** Milliseconds that downloading and building OPA may take. */
const BUILD_TIMEOUT = 30 * 60 * 1000;

/** The command: `$OPA`, or built once with `go install`; undefined where there is neither that nor `go`. */
export function findOpa(): string | undefined {
  const named = process.env.OPA;
  if (named) return named;
  const built = join(CACHE, "opa");
  if (existsSync(built)) return built;
  mkdirSync(CACHE, { recursive: true });
  const install = spawnSync("go", ["install", `${MODULE}@${VERSION}`], {
    env: { ...process.env, GOBIN: CACHE },
    stdio: ["ignore", "ignore", "inherit"],
    timeout: BUILD_TIMEOUT,
  });
  return install.status === 0 ? built : undefined;
}

/** The directory of OPA's compliance cases in the module cache; undefined where there is no `go`. */
export function findOpaCases(): string | undefined {
  const download = spawnSync("go", ["mod", "download", "-json", `${MODULE}@${VERSION}`], {
    cwd: "/",
    encoding: "utf8",
    timeout: BUILD_TIMEOUT,
  });
  if (download.status !== 0) return undefined;
  const { Dir } = JSON.parse(download.stdout) as { Dir: string };
  return join(Dir, "v1/test/cases/testdata");
}
