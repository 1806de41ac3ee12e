/** Tests of what differs between versions of containerd, on one of them: see harness/containerd-of-suite.ts. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const tests = dirname(fileURLToPath(import.meta.url));

export default defineConfig({
  cacheDir: join(tests, "../build/cache/vitest"),
  test: {
    root: tests,
    // Of the end-to-end tests, those of what containerd has changed.
    include: [
      "containerd/**/*.containerd.test.ts",
      "e2e/{events,exec,exit-status,log-uri,metrics,signals,stdio}.e2e.test.ts",
    ],
    // The policies that genpolicy makes unless told otherwise name the version of the specification that containerd 2.x writes.
    exclude:
      (process.env.KATA_TEST_CONTAINERD_SUITE ?? "sid") === "sid"
        ? []
        : ["containerd/policy.*", "containerd/verified-layers.*"],
    globalSetup: [join(tests, "harness/containerd-of-suite.ts")],
    fileParallelism: false,
    pool: "forks",
    // A virtual machine without hardware support boots in seconds; a test may need several.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
