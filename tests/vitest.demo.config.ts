/** Tests that play the demo as a user does: one after the other. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const tests = dirname(fileURLToPath(import.meta.url));

export default defineConfig({
  cacheDir: join(tests, "../build/cache/vitest"),
  test: {
    root: tests,
    include: ["demo/**/*.demo.test.ts"],
    fileParallelism: false,
    // A whole demo takes a minute on a machine without hardware virtualization, and several on a busy one.
    testTimeout: 900_000,
  },
});
