/** `--preserve-fds`: what cannot be carried into a virtual machine is refused, not lost. */
import { KataError } from "../../kata-error.ts";
import { numberFlag } from "../flag-values.ts";
import type { FlagValues } from "../types.ts";

/** @throws KataError `unsupported` for more than none. */
export function refuseDescriptors(flags: FlagValues): void {
  const count = numberFlag(flags, "preserve-fds") ?? 0;
  if (count === 0) return;
  throw new KataError("unsupported", {
    operation: "pass descriptors",
    object: `--preserve-fds ${count}`,
    hint: "open files of the host cannot be used in a virtual machine; bind-mount what the container needs",
  });
}
