/**
 * Flash chips of a machine: the firmware, and what it keeps for itself.
 *
 * The first is the firmware's code, which nobody writes to. The others are written to, so each machine has copies in its own directory.
 * Source: qemu(1), `-drive if=pflash`; OVMF README, "FD_SIZE".
 */
import { KataError } from "../../../kata-error.ts";
import { chown, readFile, writeFile } from "../../../sys/files.ts";
import type { MachineSpec } from "../types.ts";

/** QEMU's boards take 8 MiB of flash, Arm's twice 64. */
const MAX_BYTES = 64 << 20;

export interface FlashChip {
  /** What it begins with. */
  readonly content: string;
  /** What the machine uses. */
  readonly path: string;
  readonly readOnly: boolean;
}

/** The chips of `spec`, in their order; none if its firmware is a single ROM. */
export function flashChips({ firmware, options, runDirectory }: MachineSpec): FlashChip[] {
  const volume = options?.firmwareVolume ?? "";
  const contents = [...(volume === "" ? [] : [firmware, volume]), ...(options?.flashes ?? [])];
  return contents.map((content, index) =>
    index === 0
      ? { content, path: content, readOnly: true }
      : { content, path: `${runDirectory}/flash${index}.fd`, readOnly: false },
  );
}

export function flashArguments(spec: MachineSpec): string[] {
  return flashChips(spec).flatMap(({ path, readOnly }, unit) => [
    "-drive",
    `if=pflash,format=raw,unit=${unit},readonly=${readOnly ? "on" : "off"},file=${path.replaceAll(",", ",,")}`,
  ]);
}

/** Makes the copies. They go with the machine's directory. @throws KataError `invalid-configuration` for a file that is missing. */
export function copyFlashContents(spec: MachineSpec): void {
  for (const { content, path, readOnly } of flashChips(spec)) {
    if (readOnly) continue;
    try {
      writeFile(path, readFile(content, MAX_BYTES));
      if (spec.user !== undefined) chown(path, spec.user.uid, spec.user.gid);
    } catch (error) {
      throw new KataError("invalid-configuration", {
        operation: "copy flash of firmware",
        object: content,
        hint: "set firmware_volume or pflashes of [hypervisor.qemu] in configuration.toml to files that are there",
        cause: error,
      });
    }
  }
}
