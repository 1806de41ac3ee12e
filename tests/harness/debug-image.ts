/** A guest with a shell, for tests of what needs one in it. */
import { join } from "node:path";
import { mustRun } from "./command.ts";
import { type Configuration, GUEST_KERNEL } from "./kata-configuration.ts";

const ROOT = join(import.meta.dirname, "../..");
const OUTPUT = "build/image-debug";
/** The packages are in the cache of `npm run image` already. */
const BUILD_DEADLINE_MS = 170_000;

/** Builds the image if it is not there. @returns what a configuration says to use it, with its debug console. */
export async function withDebugShell(): Promise<Configuration> {
  const args = ["tsx", "src/image/build-image.ts", "--debug-shell", "--output", OUTPUT];
  await mustRun("npx", args, { cwd: ROOT, deadlineMs: BUILD_DEADLINE_MS });
  return {
    "hypervisor.qemu": { kernel: GUEST_KERNEL, initrd: join(ROOT, OUTPUT, "initrd") },
    "agent.kata": { debug_console_enabled: true },
  };
}
