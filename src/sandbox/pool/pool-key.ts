/** What a machine of the pool is: two pods that ask for the same key can have the same machine. */
import { stat } from "../../sys/files.ts";
import type { SizeRange } from "../resources/sizing.ts";
import type { SandboxSettings } from "../settings.ts";

/** @throws KataError `system-call` if a file of the configuration is missing. */
export function poolKey(
  { driver, machine, fileServer, template, memoryGrowth, network }: SandboxSettings,
  { boot, most }: SizeRange,
): string {
  const files = [machine.program, machine.kernel, machine.root.path, fileServer.program].map((path) => {
    const { inode, size: bytes, modifiedAt } = stat(path);
    return [path, inode, bytes, modifiedAt];
  });
  const { path } = template;
  return JSON.stringify({
    driver,
    machine,
    fileServer,
    path,
    memoryGrowth,
    queues: network.queues,
    boot,
    most,
    files,
  });
}
