/**
 * The host's halves of disks: block nodes, with what holds their requests back and the descriptors that they read and write.
 * Source: QEMU QMP reference, blockdev-add, object-add (throttle-group), add-fd.
 */
import { describeError } from "../../../kata-error.ts";
import { O_NONBLOCK, O_RDONLY, O_RDWR, open } from "../../../sys/files.ts";
import { Rollback } from "../../../sys/rollback.ts";
import type { DiskDevice, DiskTuning } from "../disk-device.ts";
import type { DiskRates, MachineSpec } from "../types.ts";
import { blockNode, DEFAULT_TUNING, diskNode, throttleLimits, throttleNode } from "./disk-options.ts";
import type { QmpClient } from "./qmp-client.ts";

export class DiskNodes {
  readonly #monitor: QmpClient;
  readonly #rates: DiskRates | undefined;
  readonly #passesDisks: boolean;
  #nextFile = 1;

  /** @param spec of the machine: limits of its disks, and whether QEMU is somebody who can open them. */
  constructor(monitor: QmpClient, { rates, user }: Pick<MachineSpec, "rates" | "user">) {
    this.#monitor = monitor;
    this.#rates = rates?.disk;
    this.#passesDisks = user !== undefined;
  }

  /** Makes the node of `device`, {@link diskNode}. @returns what takes all of it back; nothing is left if it fails. */
  async add(device: DiskDevice): Promise<Rollback> {
    const undo = new Rollback();
    try {
      const group = await this.#throttleGroup(device, undo);
      await this.#addNode(device, group, await this.#fileOf(device, undo));
      undo.add("node", async () => {
        await this.#monitor.execute("blockdev-del", { "node-name": diskNode(device.id) });
      });
      return undo;
    } catch (error) {
      await undo.run();
      throw error;
    }
  }

  /** The name by which QEMU opens a disk: one of root's alone is opened here. */
  async #fileOf({ path, readOnly }: DiskDevice, undo: Rollback): Promise<string> {
    if (!this.#passesDisks) return path;
    const id = this.#nextFile++;
    using file = open(path, (readOnly ? O_RDONLY : O_RDWR) | O_NONBLOCK);
    await this.#monitor.execute("add-fd", { "fdset-id": id }, { descriptors: [file.fd] });
    undo.add("descriptor", async () => {
      await this.#monitor.execute("remove-fd", { "fdset-id": id });
    });
    return `/dev/fdset/${id}`;
  }

  async #addNode(device: DiskDevice, group: string | undefined, file: string): Promise<void> {
    const { io } = device.tuning ?? DEFAULT_TUNING;
    const add = (way: DiskTuning["io"]) => {
      const node = blockNode(device, way, file);
      return this.#monitor.execute("blockdev-add", group === undefined ? node : throttleNode(node, group));
    };
    try {
      await add(io);
    } catch (error) {
      // A host's kernel may not have it, or not let this process use it.
      if (io !== "io_uring" || !/io_uring/i.test(describeError(error))) throw error;
      await add("threads");
    }
  }

  /** The group that holds the disk's requests back, if there are limits. Each disk has one for itself. */
  async #throttleGroup({ id: disk }: DiskDevice, undo: Rollback): Promise<string | undefined> {
    const limits = throttleLimits(this.#rates);
    if (limits === undefined) return undefined;
    const id = `${disk}-limits`;
    await this.#monitor.execute("object-add", { "qom-type": "throttle-group", id, limits });
    undo.add("throttle group", async () => {
      await this.#monitor.execute("object-del", { id });
    });
    return id;
  }
}
