/** What the snapshotter knows of a snapshot, and the labels that say something about it. */

export type SnapshotKind = "view" | "active" | "committed";

export interface Snapshot {
  /** As containerd calls it: `NAMESPACE/NUMBER/NAME`. */
  readonly key: string;
  /** The key of the one below; empty for none. */
  readonly parent: string;
  readonly kind: SnapshotKind;
  readonly labels: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly updatedAt: number;
  /** Of one that a layer has been unpacked to: the layer's disk, which is there already. */
  readonly disk?: LayerDisk;
}

export interface LayerDisk {
  readonly chainId: string;
  readonly rootHash: string;
}

/** containerd's namespace of a snapshot; undefined for a key that tells none. Not every version sends it along with its calls. */
export function namespaceOf(key: string): string | undefined {
  return /^([^/]+)\/\d+\/./.exec(key)?.[1];
}

/** Set by whoever unpacks an image: the chain id that the snapshot is to become. Source: containerd, snapshots.LabelSnapshotRef. */
export const TARGET_LABEL = "containerd.io/snapshot.ref";
/** Set by containerd's CRI plug-in: the digest of the compressed layer. Source: containerd, pkg/snapshotters, annotations. */
export const DIGEST_LABEL = "containerd.io/snapshot/cri.layer-digest";
/** Source: tardev-snapshotter 3.2.0.azl5. */
export const ROOT_HASH_LABEL = "io.katacontainers.dm-verity.root-hash";
/** Ours: the layer's file system; absent for `tar`, the only one that tardev-snapshotter has. */
export const FORMAT_LABEL = "io.katacontainers.layer-format";

/** The last part of a key: a chain id if it is a layer's. */
export function nameOf(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}

/** How clients of containerd's that set no label call what they unpack into. Source: containerd, snapshots.UnpackKeyFormat. */
const UNPACK_NAME = /^extract-\S+ sha256:[0-9a-f]{64}$/;

/** Whether an image's layer is being unpacked into it. */
export function isUnpacked({ key, kind, labels }: Snapshot): boolean {
  if (kind !== "active") return false;
  const isLabelled = labels[TARGET_LABEL] !== undefined || labels[DIGEST_LABEL] !== undefined;
  return isLabelled || UNPACK_NAME.test(nameOf(key));
}
