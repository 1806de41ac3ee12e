/**
 * Which of the host's devices the programs of a sandbox may open, for `sandbox_cgroup_only`: what the machine needs, and each disk
 * that is plugged in.
 *
 * Descriptors that are open already, such as taps, are not concerned.
 * Sources: Linux Documentation/admin-guide/cgroup-v1/devices.rst, cgroup-v2.rst "Device controller"; upstream's host cgroup management.
 */
import { describeError, hasErrno } from "../../kata-error.ts";
import { compileDeviceProgram } from "../../oci/device-program.ts";
import { containerDeviceRules, deviceWrites } from "../../oci/device-rules.ts";
import type { LinuxDeviceCgroup } from "../../oci/types.ts";
import { attachDeviceProgram, detachDeviceProgram, loadDeviceProgram } from "../../sys/bpf.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import {
  exists,
  readTextFileIfExists,
  S_IFBLK,
  S_IFCHR,
  S_IFMT,
  stat,
  writeExisting,
} from "../../sys/files.ts";
import type { VirtualMachine } from "../hypervisor/types.ts";
import type { Logger } from "../types.ts";

/** Nodes that monitors and file servers open, where the host has them. */
const NODES = [
  "/dev/kvm",
  "/dev/mshv",
  "/dev/vhost-net",
  "/dev/vhost-vsock",
  "/dev/net/tun",
  "/dev/vfio/vfio",
  "/dev/loop-control",
];
/** Drivers whose nodes come and go: groups of passed devices, disks over files. */
const DRIVERS: readonly (readonly [type: "b" | "c", name: string])[] = [
  ["c", "vfio"],
  ["b", "loop"],
];

export class DeviceAllowList {
  readonly #directory: string;
  readonly #logger: Logger;
  readonly #rules: LinuxDeviceCgroup[];
  #program: FileDescriptor | undefined;
  #works = true;

  /** @param directory the group, in the hierarchy that restricts devices. */
  constructor(directory: string, logger: Logger) {
    this.#directory = directory;
    this.#logger = logger;
    const drivers = driverRules(readTextFileIfExists("/proc/devices") ?? "");
    this.#rules = [...NODES.flatMap(ruleOf), ...drivers];
  }

  /** Restricts the group. A host that does not let it is warned of. */
  apply(): void {
    this.#try(() => {
      if (!exists(`${this.#directory}/devices.allow`)) {
        this.#replaceProgram();
        return;
      }
      for (const { file, value } of deviceWrites(containerDeviceRules(this.#rules, []))) {
        writeExisting(`${this.#directory}/${file}`, value);
      }
    });
  }

  /** Lets the group open the device `path`, too; nothing for what is no device. */
  allow(path: string): void {
    const rules = ruleOf(path);
    if (rules.length === 0) return;
    this.#rules.push(...rules);
    this.#try(() => {
      if (!exists(`${this.#directory}/devices.allow`)) this.#replaceProgram();
      else
        for (const { type, major, minor } of rules) {
          writeExisting(`${this.#directory}/devices.allow`, `${type} ${major}:${minor} rwm`);
        }
    });
  }

  /** In version 2 the rules are a program; both count until the old one is gone. */
  #replaceProgram(): void {
    const program = loadDeviceProgram(compileDeviceProgram(containerDeviceRules(this.#rules, [])));
    attachDeviceProgram(this.#directory, program.fd);
    if (this.#program !== undefined) detachDeviceProgram(this.#directory, this.#program.fd);
    this.#program?.close();
    this.#program = program;
  }

  /** Gives the program back; the rules go with the group. */
  close(): void {
    this.#program?.close();
    this.#program = undefined;
  }

  #try(work: () => void): void {
    if (!this.#works) return;
    try {
      work();
    } catch (error) {
      this.#works = false;
      this.#logger.warn("the sandbox's programs may open any device of the host", {
        error: describeError(error),
      });
    }
  }
}

type DiskMachine = Pick<VirtualMachine, "capabilities" | "attach" | "detach" | "resizeDisk">;

/** The machine, which may open each disk that it is given. */
export function allowingDisks(machine: DiskMachine, list: DeviceAllowList | undefined): DiskMachine {
  if (list === undefined) return machine;
  return {
    capabilities: machine.capabilities,
    attach(device) {
      if (device.kind === "disk") list.allow(device.path);
      return machine.attach(device);
    },
    detach: (id) => machine.detach(id),
    resizeDisk: (id, bytes) => machine.resizeDisk(id, bytes),
  };
}

/** What lets `path` be opened; nothing if it is no device, or not there. */
function ruleOf(path: string): LinuxDeviceCgroup[] {
  try {
    const { mode, deviceMajor: major, deviceMinor: minor } = stat(path);
    const kind = mode & S_IFMT;
    if (kind !== S_IFBLK && kind !== S_IFCHR) return [];
    return [{ allow: true, type: kind === S_IFBLK ? "b" : "c", major, minor, access: "rwm" }];
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return [];
    throw error;
  }
}

/** Rules for all nodes of {@link DRIVERS}. @param text of /proc/devices: two lists of `major name` lines. */
export function driverRules(text: string): LinuxDeviceCgroup[] {
  const [characters = "", blocks = ""] = text.split(/^Block devices:$/m);
  return DRIVERS.flatMap(([type, name]) => {
    const major = new RegExp(`^ *(\\d+) ${name}$`, "m").exec(type === "b" ? blocks : characters)?.[1];
    return major === undefined ? [] : [{ allow: true, type, major: Number(major), access: "rwm" }];
  });
}
