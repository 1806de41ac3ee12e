/**
 * The snapshots on disk.
 *
 * ```
 * snapshots/HASH   a snapshot, JSON; HASH is that of its key
 * layers/ID        the disk of a layer; ID is the digest of its chain id
 * staging/HASH/    where a layer would be unpacked to, which nobody looks at
 * ```
 *
 * A file appears whole or not at all. What no snapshot needs is removed at the start and when containerd asks for it.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { KataError } from "../kata-error.ts";
import { layerId } from "../policy/layers/chain-id.ts";
import { isUnpacked, nameOf, ROOT_HASH_LABEL, type Snapshot } from "./snapshot.ts";

const UNFINISHED = ".unfinished-";
const KINDS: readonly string[] = ["view", "active", "committed"];

export class SnapshotStore {
  readonly #root: string;
  readonly #snapshots = new Map<string, Snapshot>();
  #unfinished = 0;
  #started = false;

  /** Opens what is there or begins anew. @throws KataError `invalid-snapshot` for a file that is none. */
  constructor(root: string) {
    this.#root = root;
    for (const part of ["snapshots", "layers", "staging"])
      mkdirSync(join(root, part), { recursive: true, mode: 0o700 });
    for (const name of readdirSync(join(root, "snapshots"))) {
      if (name.startsWith(UNFINISHED)) continue;
      const snapshot = parseSnapshot(readFileSync(join(root, "snapshots", name), "utf8"), name);
      this.#snapshots.set(snapshot.key, snapshot);
    }
    this.cleanUp();
    this.#started = true;
  }

  get all(): readonly Snapshot[] {
    return [...this.#snapshots.values()];
  }

  /** Where layers are. */
  get layersDirectory(): string {
    return join(this.#root, "layers");
  }

  find(key: string): Snapshot | undefined {
    return this.#snapshots.get(key);
  }

  /** @throws KataError `not-found`. */
  get(key: string): Snapshot {
    const snapshot = this.#snapshots.get(key);
    if (snapshot !== undefined) return snapshot;
    throw new KataError("not-found", { operation: "find snapshot", object: key });
  }

  /** Writes a snapshot, new or changed. */
  put(snapshot: Snapshot): void {
    using file = this.#newFile("snapshots");
    file.write(Buffer.from(`${JSON.stringify(snapshot, undefined, 2)}\n`));
    file.publish(join("snapshots", hashOf(snapshot.key)));
    this.#snapshots.set(snapshot.key, snapshot);
  }

  /** @throws KataError `not-found`; `failed-precondition` if others are on top of it. */
  remove(key: string): void {
    const snapshot = this.get(key);
    const child = this.all.find(({ parent }) => parent === key);
    if (child !== undefined) {
      throw new KataError("failed-precondition", {
        operation: "remove snapshot",
        object: key,
        hint: `${child.key} is on top of it`,
      });
    }
    rmSync(join(this.#root, "snapshots", hashOf(key)), { force: true });
    this.#snapshots.delete(key);
    const layer = snapshot.kind === "committed" ? key : snapshot.disk?.chainId;
    if (layer !== undefined && !this.#neededLayers().has(idOf(layer)))
      rmSync(this.layerPath(layer), { force: true });
    if (snapshot.kind !== "committed") rmSync(this.#stagingPath(key), { recursive: true, force: true });
  }

  /** A directory for a layer to be unpacked to. */
  makeStaging(key: string): string {
    const path = this.#stagingPath(key);
    mkdirSync(path, { recursive: true, mode: 0o755 });
    return path;
  }

  /** The snapshot that a layer is unpacked to at `path`. */
  stagedAt(path: string): Snapshot | undefined {
    return this.all.find((snapshot) => isUnpacked(snapshot) && this.#stagingPath(snapshot.key) === path);
  }

  /** The disk of the layer that is called so, which need not be there. */
  layerPath(key: string): string {
    return join(this.layersDirectory, idOf(key));
  }

  /** Bytes of a layer's disk, 0 without one. */
  layerBytes(key: string): number {
    return statSync(this.layerPath(key), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** The snapshot of another namespace that is the same layer, whose disk is there. */
  sameLayer(name: string): Snapshot | undefined {
    const found = this.all.find(
      ({ key, kind, labels }) =>
        kind === "committed" && nameOf(key) === nameOf(name) && labels[ROOT_HASH_LABEL] !== undefined,
    );
    return found !== undefined && this.layerBytes(name) > 0 ? found : undefined;
  }

  /** Writes the disk of the layer that is called so. `fill` gets a function that writes. @returns what `fill` does. */
  async writeLayer<T>(name: string, fill: (write: (piece: Uint8Array) => void) => Promise<T>): Promise<T> {
    using file = this.#newFile("layers");
    const result = await fill(file.write);
    file.publish(join("layers", idOf(name)));
    return result;
  }

  /** A file of our own that nobody finds. Its end is the end of the scope. */
  scratchFile(): { readonly descriptor: number } & Disposable {
    const path = join(this.#root, "staging", `${UNFINISHED}${this.#unfinished++}`);
    const descriptor = openSync(path, "wx+", 0o600);
    rmSync(path);
    return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
  }

  /** Removes the files that no snapshot needs. */
  cleanUp(): void {
    const needed: Readonly<Record<string, ReadonlySet<string>>> = {
      layers: this.#neededLayers(),
      staging: new Set(this.all.filter(({ kind }) => kind === "active").map(({ key }) => hashOf(key))),
      snapshots: new Set(this.all.map(({ key }) => hashOf(key))),
    };
    for (const [part, names] of Object.entries(needed)) {
      for (const name of readdirSync(join(this.#root, part)))
        if (!names.has(name) && !this.#isUnderWay(name))
          rmSync(join(this.#root, part, name), { recursive: true, force: true });
    }
  }

  /** Whether it is a file of this process's that is not finished: those of others are left behind. */
  #isUnderWay(name: string): boolean {
    return this.#started && name.startsWith(UNFINISHED);
  }

  #neededLayers(): Set<string> {
    return new Set(
      this.all.flatMap(({ kind, key, disk }) => {
        if (kind === "committed") return [idOf(key)];
        return disk === undefined ? [] : [idOf(disk.chainId)];
      }),
    );
  }

  #stagingPath(key: string): string {
    return join(this.#root, "staging", hashOf(key));
  }

  /** A file that nobody sees before it is published; it is gone at the end of the scope otherwise. */
  #newFile(part: string): NewFile {
    const path = join(this.#root, part, `${UNFINISHED}${this.#unfinished++}`);
    const descriptor = openSync(path, "w", 0o600);
    return {
      write: (piece) => {
        for (let at = 0; at < piece.length; ) at += writeSync(descriptor, piece, at);
      },
      publish: (target) => {
        fsyncSync(descriptor);
        renameSync(path, join(this.#root, target));
      },
      [Symbol.dispose]: () => {
        closeSync(descriptor);
        rmSync(path, { force: true });
      },
    };
  }
}

interface NewFile extends Disposable {
  readonly write: (piece: Uint8Array) => void;
  /** Makes it what is at a path below the root from now on. */
  readonly publish: (target: string) => void;
}

function idOf(key: string): string {
  return layerId(nameOf(key));
}

function hashOf(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

function parseSnapshot(text: string, file: string): Snapshot {
  const refuse = () =>
    new KataError("invalid-snapshot", {
      operation: "read snapshot",
      object: file,
      hint: "remove the snapshotter's directory and pull the images again",
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw refuse();
    throw error;
  }
  const { key, parent, kind, labels, createdAt, updatedAt } = (value ?? {}) as Record<string, unknown>;
  if (
    typeof key !== "string" ||
    typeof parent !== "string" ||
    typeof kind !== "string" ||
    !KINDS.includes(kind) ||
    typeof labels !== "object" ||
    labels === null ||
    !Object.values(labels).every((label) => typeof label === "string") ||
    typeof createdAt !== "number" ||
    typeof updatedAt !== "number"
  ) {
    throw refuse();
  }
  return value as Snapshot;
}
