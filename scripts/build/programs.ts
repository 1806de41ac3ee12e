/** The programs of `build/bin/`. */
import type { Program } from "./program.ts";

/** Those that run in the engine host. */
export const PROGRAMS: readonly Program[] = [
  { entry: "src/overlay/main.ts", output: "build/bin/kata-overlay" },
  { entry: "src/tarfs/main.ts", output: "build/bin/mount.tar" },
  { entry: "src/shim/main.ts", output: "build/bin/containerd-shim-kata-v2" },
  {
    entry: "src/cli/main.ts",
    withoutLines: ["src/azure/", "src/cli/"],
    output: "build/bin/kata-runtime",
  },
  {
    entry: "src/agent/main.ts",
    extension: "src/agent/policy/extension.ts",
    engine: "quick",
    output: "build/bin/kata-agent",
  },
];

/** Other names of programs, which are links beside them: name and program. */
export const OTHER_NAMES: readonly (readonly [name: string, program: string])[] = [
  ["kata-ctl", "kata-runtime"],
  ["tardev-snapshotter", "kata-snapshotter"],
];

/** Those that are shell scripts. */
export const SHELL_PROGRAMS: readonly Program[] = [
  { entry: "src/collect-data/kata-collect-data.sh", output: "build/bin/kata-collect-data.sh" },
];

/** Those that run under Node, as one script each. */
export const NODE_PROGRAMS: readonly Program[] = [
  { entry: "src/policy/rego-cli/main.ts", output: "build/bin/kata-rego" },
  { entry: "src/policy/genpolicy/main.ts", output: "build/bin/genpolicy" },
  { entry: "src/measure/main.ts", output: "build/bin/kata-measure" },
  { entry: "src/snapshotter/main.ts", output: "build/bin/kata-snapshotter" },
  { entry: "src/monitor/main.ts", output: "build/bin/kata-monitor" },
];
