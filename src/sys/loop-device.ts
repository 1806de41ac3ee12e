/** Block devices over files, for file systems that the kernel mounts from block devices alone. Source: loop(4). */
import { hasErrno } from "../kata-error.ts";
import type { FileDescriptor } from "./descriptor.ts";
import { O_CLOEXEC, O_RDONLY, O_RDWR, open } from "./files.ts";
import { check, kernel } from "./kernel.ts";

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
/** struct loop_config: fd u32, block size u32, struct loop_info64 of 232 bytes, 8 reserved u64. */
const CONFIG_BYTES = 8 + 232 + 64;
/** `lo_flags` in it. */
const FLAGS_AT = 8 + 52;
/** Others take a free device between our finding it and our using it. */
const TRIES = 20;

export interface LoopDevice {
  readonly path: string;
  /** Holds the device, which is freed when neither this nor a mount does any more. */
  readonly descriptor: FileDescriptor;
}

/** A device over the file at `path`. */
export function openLoopDevice(path: string, readOnly: boolean): LoopDevice {
  const flags = (readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  using file = open(path, flags);
  using control = open("/dev/loop-control", O_RDWR);
  for (let tries = 1; ; tries++) {
    const number = check(
      kernel().syscall("ioctl", control.fd, LOOP_CTL_GET_FREE, 0),
      "find loop device",
      path,
    );
    const device = open(`/dev/loop${number}`, flags);
    const config = new DataView(new ArrayBuffer(CONFIG_BYTES));
    config.setUint32(0, file.fd, true);
    config.setUint32(FLAGS_AT, LO_FLAGS_AUTOCLEAR | (readOnly ? LO_FLAGS_READ_ONLY : 0), true);
    try {
      check(kernel().syscall("ioctl", device.fd, LOOP_CONFIGURE, config.buffer), "set up loop device", path);
      return { path: `/dev/loop${number}`, descriptor: device };
    } catch (error) {
      device.close();
      if (!hasErrno(error, "EBUSY") || tries >= TRIES) throw error;
    }
  }
}
