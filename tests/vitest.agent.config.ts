/** Tests that drive the agent as a process of this machine: one after the other, as root. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const tests = dirname(fileURLToPath(import.meta.url));

export default defineConfig({
  cacheDir: join(tests, "../build/cache/vitest"),
  test: {
    root: tests,
    include: ["agent/**/*.agent.test.ts"],
    fileParallelism: false,
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
