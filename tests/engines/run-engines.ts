/**
 * `npm run test:engines`: containers of Podman and Docker, as their users start them.
 *
 *   npm run test:engines                    all
 *   npm run test:engines -- podman          one engine
 *   npm run test:engines -- docker sid      Docker of one Debian release: bookworm, trixie, sid
 *
 * The engines are Debian's packages, unpacked into a cache. Needs root and what `npm run build` and `npm run image` have made. Prints each
 * test and vitest's counts at the end.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { exitStatus } from "../harness/command.ts";

const ROOT = join(import.meta.dirname, "../..");

async function main(): Promise<number> {
  const [engine, suite] = process.argv.slice(2);
  if (engine !== undefined && !["podman", "docker"].includes(engine)) {
    throw new Error(`${engine}: it is podman or docker`);
  }
  if (suite !== undefined && !["bookworm", "trixie", "sid"].includes(suite)) {
    throw new Error(`${suite}: it is bookworm, trixie or sid`);
  }
  const filter = engine === undefined ? [] : [`engines/${engine}`];
  const args = ["run", "--config", "tests/vitest.engines.config.ts", "--reporter=verbose", ...filter];
  const child = spawn(join(ROOT, "node_modules/.bin/vitest"), args, {
    cwd: ROOT,
    env: { ...process.env, ...(suite === undefined ? {} : { KATA_TEST_DOCKER_SUITE: suite }) },
    stdio: "inherit",
  });
  return await exitStatus(child);
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
