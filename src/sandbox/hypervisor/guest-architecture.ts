/** Which processor a board has, whatever the host's is: QEMU emulates either on both. */

/** As Linux names them. */
export type GuestArchitecture = "x86_64" | "aarch64" | "s390x";

/** Of the board `machineType`: Arm's is `virt`, the mainframe's `s390-ccw-virtio`, also in one of their versions (`virt-7.2`). */
export function guestArchitecture(machineType: string): GuestArchitecture {
  if (machineType.startsWith("s390-ccw-virtio")) return "s390x";
  return /^virt(-|$)/.test(machineType) ? "aarch64" : "x86_64";
}
