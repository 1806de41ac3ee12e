/** The storages of a sandbox: each is mounted once, however many containers use it, and unmounted after the last one. */
import { KataError } from "../../kata-error.ts";
import { AT_FDCWD } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";
import { readMountInfo } from "../../sys/mountinfo.ts";
import { SANDBOX_DIRECTORY, SHARED_DIRECTORY } from "../sandbox/paths.ts";
import { STORAGE_DRIVERS } from "./drivers.ts";
import { layerRootHash } from "./layer-verity.ts";
import {
  EPHEMERAL_KEY,
  MADE_FOR_POD,
  type Storage,
  type StorageContext,
  type StorageDriver,
} from "./storage.ts";
import { applyVolumeGroup } from "./volume-group.ts";

/** Memory that is the pod's. */
const OF_POD = `${SANDBOX_DIRECTORY}/ephemeral/`;

function isOfPod({ mountPoint, driverOptions }: Storage): boolean {
  // A disk whose key is nowhere else is empty when it is mounted again.
  const isDisk = driverOptions.some((option) => option === EPHEMERAL_KEY || option === MADE_FOR_POD);
  return isDisk || mountPoint.startsWith(OF_POD);
}

interface Provided {
  users: number;
  /** What the storage is bound to, if it is a verified layer. */
  readonly rootHash: string | undefined;
  /** Whether it stays when nobody uses it: a container that starts again finds in it what was there. */
  readonly isOfPod: boolean;
  readonly ready: Promise<() => void>;
}

export class StorageRegistry {
  readonly #context: StorageContext;
  readonly #drivers: Readonly<Record<string, StorageDriver>>;
  readonly #provided = new Map<string, Provided>();

  constructor(context: StorageContext, drivers = STORAGE_DRIVERS) {
    this.#context = context;
    this.#drivers = drivers;
  }

  /** The mount points, in the order in which they were made. */
  get mountPoints(): readonly string[] {
    return [...this.#provided.keys()];
  }

  /**
   * Provides `storage`, or counts another user of what is at its mount point already.
   *
   * @throws KataError `invalid-argument` for an unknown driver.
   */
  async use(storage: Storage): Promise<void> {
    const existing = this.#provided.get(storage.mountPoint);
    if (existing !== undefined) {
      requireSameHash(existing.rootHash, storage);
      await existing.ready;
      existing.users++;
      return;
    }
    const driver = Object.hasOwn(this.#drivers, storage.driver) ? this.#drivers[storage.driver] : undefined;
    if (driver === undefined) {
      throw new KataError("invalid-argument", {
        operation: "provide storage",
        object: `driver ${JSON.stringify(storage.driver)}`,
        hint: `this agent has ${Object.keys(this.#drivers).join(", ")}`,
      });
    }
    const entry: Provided = {
      users: 1,
      rootHash: layerRootHash(storage.options),
      isOfPod: isOfPod(storage),
      ready: this.#provide(driver, storage),
    };
    this.#provided.set(storage.mountPoint, entry);
    try {
      await entry.ready;
    } catch (error) {
      this.#provided.delete(storage.mountPoint);
      throw error;
    }
  }

  async #provide(driver: StorageDriver, storage: Storage): Promise<() => void> {
    const undo = await driver(storage, this.#context);
    try {
      if (storage.group !== undefined) applyVolumeGroup(storage.mountPoint, storage.group);
    } catch (error) {
      undo();
      throw error;
    }
    return undo;
  }

  /** One user less; the last one's going unmounts it. An unknown mount point is nobody's. */
  async release(mountPoint: string): Promise<void> {
    const provided = this.#provided.get(mountPoint);
    if (provided === undefined || --provided.users > 0 || provided.isOfPod) return;
    this.#provided.delete(mountPoint);
    (await provided.ready)();
  }

  /**
   * Looks at every mount of the host's share: a file server that finds there what the host has removed closes its files.
   * Source: upstream's agent protocol, RemoveStaleVirtiofsShareMounts.
   */
  refresh(): void {
    for (const { mountPoint } of readMountInfo()) {
      if (mountPoint.startsWith(`${SHARED_DIRECTORY}/`))
        kernel().syscall("faccessat2", AT_FDCWD, mountPoint, 0, 0);
    }
  }

  /** Unmounts all, the last one first, whoever uses it. @throws the first failure; the others are given back all the same. */
  async releaseAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const [mountPoint, { ready }] of [...this.#provided].reverse()) {
      this.#provided.delete(mountPoint);
      try {
        (await ready)();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** Whoever uses a layer that is there already gets the one that it is bound to. */
function requireSameHash(rootHash: string | undefined, storage: Storage): void {
  if (layerRootHash(storage.options) === rootHash) return;
  throw new KataError("failed-precondition", {
    operation: "use layer",
    object: storage.mountPoint,
    hint: "it is mounted with another root hash",
  });
}
