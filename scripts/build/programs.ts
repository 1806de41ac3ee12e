/** The programs that run in the engine host. */
import type { Program } from "./program.ts";

export const PROGRAMS: readonly Program[] = [
  { entry: "src/shim/main.ts", output: "build/bin/containerd-shim-kata-v2" },
  { entry: "src/cli/main.ts", output: "build/bin/kata-runtime" },
  { entry: "src/agent/main.ts", output: "build/bin/kata-agent" },
];
