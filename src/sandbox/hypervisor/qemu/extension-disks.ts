/** QEMU's options for images that extend the guest's root: disks that nobody can write to, whatever the guest thinks. */
import { extensionSerial } from "../extension-images.ts";
import type { MachineSpec } from "../types.ts";

/** @param model QEMU's name of a virtio disk, which depends on the board. */
export function extensionDisks(
  { extensions = [] }: Pick<MachineSpec, "extensions">,
  model: string,
): string[] {
  return extensions.flatMap((image) => {
    const serial = extensionSerial(image);
    return [
      "-blockdev",
      `driver=file,node-name=${serial}-file,filename=${image.path.replaceAll(",", ",,")},read-only=on`,
      "-blockdev",
      `driver=raw,node-name=${serial}-node,file=${serial}-file,read-only=on`,
      "-device",
      `${model},id=${serial},drive=${serial}-node,serial=${serial}`,
    ];
  });
}
