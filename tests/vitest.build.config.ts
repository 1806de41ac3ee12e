/** Tests of what the build makes: the binaries and the guest's image. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const tests = dirname(fileURLToPath(import.meta.url));

export default defineConfig({
  cacheDir: join(tests, "../build/cache/vitest"),
  test: {
    root: tests,
    include: ["build/**/*.build.test.ts", "image/**/*.image.test.ts"],
    // Some measure how long a build takes.
    fileParallelism: false,
    testTimeout: 180_000,
  },
});
