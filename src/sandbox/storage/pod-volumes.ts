/** The volumes of a pod that are disks: found again by the paths that a storage plugin knows. */
import { KataError } from "../../kata-error.ts";
import { claimDirectVolume, DIRECT_VOLUMES } from "./direct-volume.ts";

export interface PodVolume {
  /** Path of the volume, and of its device, on the host. */
  readonly path: string;
  readonly device: string;
  /** Whether another program serves the disk: it tells the guest of the disk's size. */
  readonly isServed: boolean;
  /** Where the guest has it mounted. */
  readonly guestPath: string;
  /** The machine's name for its disk. */
  readonly diskId: string;
}

interface Used {
  readonly volume: PodVolume;
  readonly unclaim: () => void;
  users: number;
}

export class PodVolumes {
  readonly #sandboxId: string;
  readonly #root: string;
  readonly #used = new Map<string, Used>();

  /** @param root where direct volumes are written down; a note there tells tools which pod uses one. */
  constructor(sandboxId: string, root = DIRECT_VOLUMES) {
    this.#sandboxId = sandboxId;
    this.#root = root;
  }

  /** Where direct volumes are written down. */
  get root(): string {
    return this.#root;
  }

  /** A container uses `volume`. @param noted whether it is a direct volume, which has a note. @returns undoes it. */
  add(volume: PodVolume, noted: boolean): () => void {
    const { path } = volume;
    const used = this.#used.get(path) ?? {
      volume,
      users: 0,
      unclaim: noted ? claimDirectVolume(path, this.#sandboxId, this.#root) : () => undefined,
    };
    used.users++;
    this.#used.set(path, used);
    return () => {
      if (--used.users > 0) return;
      this.#used.delete(path);
      used.unclaim();
    };
  }

  /** @param path of the volume or of its device on the host, or of the mount in the guest. @throws KataError `not-found`. */
  find(path: string): PodVolume {
    for (const { volume } of this.#used.values()) {
      if ([volume.path, volume.device, volume.guestPath].includes(path)) return volume;
    }
    throw new KataError("not-found", {
      operation: "find volume",
      object: JSON.stringify(path.slice(0, 256)),
      hint: "no container of this pod uses a volume of this path that is a disk",
    });
  }

  /** Nobody uses any of them any more. */
  releaseAll(): void {
    for (const { unclaim } of this.#used.values()) unclaim();
    this.#used.clear();
  }
}
