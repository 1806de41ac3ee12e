import { defineConfig } from "vitest/config";

export default defineConfig({
  cacheDir: "build/cache/vitest",
  test: {
    include: [
      "src/**/*.test.ts",
      "scripts/**/*.test.ts",
      "tests/conformance/**/*.test.ts",
      "tests/{bench,filesystems}/**/*.test.ts",
    ],
    exclude: ["**/*.native.test.ts", "node_modules/**", "build/**"],
    pool: "threads",
    testTimeout: 60_000,
  },
});
