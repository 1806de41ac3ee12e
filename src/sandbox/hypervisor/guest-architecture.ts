/** Which processor a board has, whatever the host's is: QEMU emulates either on both. */

/** As Linux names them. */
export type GuestArchitecture = "x86_64" | "aarch64";

/** Of the board `machineType`: Arm's is `virt`, also in one of its versions (`virt-7.2`). */
export function guestArchitecture(machineType: string): GuestArchitecture {
  return /^virt(-|$)/.test(machineType) ? "aarch64" : "x86_64";
}
