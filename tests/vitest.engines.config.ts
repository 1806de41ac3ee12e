/** Tests of container engines other than containerd: one after the other, each on a machine made of namespaces. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const tests = dirname(fileURLToPath(import.meta.url));

export default defineConfig({
  cacheDir: join(tests, "../build/cache/vitest"),
  test: {
    root: tests,
    include: ["engines/**/*.engines.test.ts"],
    fileParallelism: false,
    pool: "forks",
    // Each starts several virtual machines.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
