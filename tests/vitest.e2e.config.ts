/** Tests that drive a real containerd: one after the other, on one private instance. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { subject } from "./harness/subject.ts";

const tests = dirname(fileURLToPath(import.meta.url));

export default defineConfig({
  cacheDir: join(tests, "../build/cache/vitest"),
  test: {
    root: tests,
    include: ["e2e/**/*.e2e.test.ts", "faults/**/*.faults.test.ts"],
    // What only a container in a virtual machine can show.
    exclude: subject.virtualMachine ? [] : ["e2e/**/*.vm.e2e.test.ts"],
    globalSetup: [join(tests, "harness/shared-containerd.ts")],
    fileParallelism: false,
    pool: "forks",
    // A virtual machine without hardware support boots in seconds; a test may need several.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
