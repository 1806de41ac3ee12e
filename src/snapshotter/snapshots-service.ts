/**
 * Snapshots as containerd asks for them: layers of images become disks, containers are told which.
 *
 * Where containerd asks for that (diff-service.ts), a layer is a disk when its snapshot is committed. Else it has unpacked the layer into a
 * directory that nobody looks at, and the layer is read from containerd's content then: its root hash has to be that of the archive. Source: containerd, core/snapshots, interface Snapshotter.
 */
import type { SnapshotInfoInput, SnapshotsHandlers } from "../../build/generated/snapshots.ts";
import { SnapshotKind as Kind } from "../../build/generated/snapshots.ts";
import { KataError } from "../kata-error.ts";
import type { LayerFormat } from "../policy/layers/layer-disk.ts";
import type { CallContext } from "../rpc/types.ts";
import type { LayerConverter } from "./convert-layer.ts";
import { matcherOf } from "./filters.ts";
import { mountsOf } from "./mounts.ts";
import {
  DIGEST_LABEL,
  FORMAT_LABEL,
  isUnpacked,
  nameOf,
  namespaceOf,
  ROOT_HASH_LABEL,
  type Snapshot,
  type SnapshotKind,
} from "./snapshot.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

export interface SnapshotsContext {
  readonly store: SnapshotStore;
  readonly converter: LayerConverter;
  /** Of new layers. */
  readonly format: LayerFormat;
  readonly now: () => number;
}

const KINDS: Readonly<Record<SnapshotKind, number>> = {
  view: Kind.VIEW,
  active: Kind.ACTIVE,
  committed: Kind.COMMITTED,
};

interface Named {
  readonly key: string;
  readonly parent: string;
  readonly labels: ReadonlyMap<string, string>;
}

export function snapshotsHandlers(context: SnapshotsContext): SnapshotsHandlers {
  const { store } = context;
  const create = (kind: "active" | "view", { key, parent, labels }: Named) => {
    requireNew(store, key);
    if (parent !== "" && store.get(parent).kind !== "committed") {
      throw new KataError("failed-precondition", {
        operation: "make snapshot",
        object: key,
        hint: `${parent} is not committed`,
      });
    }
    const now = context.now();
    const snapshot: Snapshot = {
      key,
      parent,
      kind,
      labels: Object.fromEntries(labels),
      createdAt: now,
      updatedAt: now,
    };
    // A snapshot that cannot be mounted is none.
    const mounts = mountsOf(store, snapshot);
    store.put(snapshot);
    return { mounts };
  };
  return {
    prepare: async (request) => create("active", request),
    view: async (request) => create("view", request),
    mounts: async ({ key }) => ({ mounts: mountsOf(store, requireMutable(store.get(key))) }),
    commit: async ({ name, key, labels }, call) => {
      await commit(context, name, store.get(key), Object.fromEntries(labels), call);
      return {};
    },
    remove: async ({ key }) => {
      store.remove(key);
      return {};
    },
    stat: async ({ key }) => ({ info: infoOf(store.get(key)) }),
    update: async ({ info, updateMask }) => {
      const snapshot = store.get(info?.name ?? "");
      const labels = updatedLabels(snapshot, info?.labels ?? new Map(), updateMask?.paths ?? []);
      const updated = { ...snapshot, labels, updatedAt: context.now() };
      store.put(updated);
      return { info: infoOf(updated) };
    },
    list: async ({ filters }) => ({ info: store.all.filter(matcherOf(filters)).map(infoOf) }),
    usage: async ({ key }) => {
      const { kind } = store.get(key);
      return { size: kind === "committed" ? store.layerBytes(key) : 0, inodes: 1 };
    },
    cleanup: async () => {
      store.cleanUp();
      return {};
    },
  };
}

async function commit(
  { store, converter, format, now }: SnapshotsContext,
  name: string,
  active: Snapshot,
  labels: Readonly<Record<string, string>>,
  call: CallContext,
): Promise<void> {
  requireNew(store, name);
  if (!isUnpacked(active)) {
    throw new KataError("unimplemented", {
      operation: "commit snapshot",
      object: active.key,
      hint: "only layers of images become layers here: what a container writes is in its guest",
    });
  }
  const same = store.sameLayer(name);
  const { disk } = active;
  const made = disk?.chainId === nameOf(name) && store.layerBytes(name) > 0 ? disk.rootHash : undefined;
  const layer =
    same === undefined
      ? {
          [ROOT_HASH_LABEL]:
            made ??
            (await converter.convert({
              namespace:
                namespaceOf(active.key) ?? call.metadata.get("containerd-namespace")?.[0] ?? "default",
              chainId: nameOf(name),
              parent: active.parent === "" ? undefined : nameOf(active.parent),
              digest: active.labels[DIGEST_LABEL],
            })),
          ...(format === "tar" ? {} : { [FORMAT_LABEL]: format }),
        }
      : pick(same.labels, [ROOT_HASH_LABEL, FORMAT_LABEL]);
  // Another call may have been quicker.
  requireNew(store, name);
  const time = now();
  store.put({
    key: name,
    parent: active.parent,
    kind: "committed",
    labels: { ...labels, ...layer },
    createdAt: time,
    updatedAt: time,
  });
  store.remove(active.key);
}

function pick(labels: Snapshot["labels"], names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (labels[name] === undefined ? [] : [[name, labels[name]]])),
  );
}

function requireNew(store: SnapshotStore, key: string): void {
  if (key === "")
    throw new KataError("invalid-argument", { operation: "make snapshot", object: "without a key" });
  if (store.find(key) === undefined) return;
  throw new KataError("already-exists", { operation: "make snapshot", object: key });
}

function requireMutable(snapshot: Snapshot): Snapshot {
  if (snapshot.kind !== "committed") return snapshot;
  throw new KataError("failed-precondition", {
    operation: "mount snapshot",
    object: snapshot.key,
    hint: "it is committed",
  });
}

/** What the layer's disk is stays what it is. */
function updatedLabels(
  { labels }: Snapshot,
  given: ReadonlyMap<string, string>,
  paths: readonly string[],
): Record<string, string> {
  const own = pick(labels, [ROOT_HASH_LABEL, FORMAT_LABEL]);
  if (paths.length === 0 || paths.includes("labels")) return { ...Object.fromEntries(given), ...own };
  const updated: Record<string, string> = { ...labels };
  for (const path of paths) {
    if (!path.startsWith("labels.")) {
      throw new KataError("invalid-argument", {
        operation: "update snapshot",
        object: path,
        hint: "only labels change",
      });
    }
    const name = path.slice("labels.".length);
    const value = given.get(name);
    if (value === undefined) delete updated[name];
    else updated[name] = value;
  }
  return { ...updated, ...own };
}

function infoOf({ key, parent, kind, labels, createdAt, updatedAt }: Snapshot): SnapshotInfoInput {
  const timestamp = (ms: number) => ({ seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 });
  return {
    name: key,
    parent,
    kind: KINDS[kind],
    labels: new Map(Object.entries(labels)),
    createdAt: timestamp(createdAt),
    updatedAt: timestamp(updatedAt),
  };
}
