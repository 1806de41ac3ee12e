/**
 * What containerd is told to mount for a snapshot.
 *
 * A container's root filesystem is told of, not mounted: the layers are named in the options, which the shim makes disks of. On the host
 * `kata-overlay` mounts the same, read-only, for tools that look into root filesystems; containerd itself does, for users and groups.
 * Source: tardev-snapshotter in Microsoft's fork of Kata Containers, 3.2.0.azl5, facts only.
 */
import type { MountInput } from "../../build/generated/mount.ts";
import { KataError } from "../kata-error.ts";
import { layerId } from "../policy/layers/chain-id.ts";
import { FORMAT_LABEL, isUnpacked, nameOf, ROOT_HASH_LABEL, type Snapshot } from "./snapshot.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

const OPTION = "io.katacontainers.fs-opt.";
/** Most layers of an image. Source: overlayfs, `OVL_MAX_STACK`. */
const MAX_LAYERS = 500;

/** @throws KataError `failed-precondition` if a layer below is none. */
export function mountsOf(store: SnapshotStore, snapshot: Snapshot): MountInput[] {
  if (isUnpacked(snapshot) || snapshot.parent === "") {
    const options = [snapshot.kind === "view" ? "ro" : "rw", "rbind"];
    return [{ type: "bind", source: store.makeStaging(snapshot.key), options }];
  }
  const layers = layersBelow(store, snapshot);
  const options = [
    `${OPTION}layer-src-prefix=${store.layersDirectory}`,
    ...layers.map((layer) => `${OPTION}layer=${Buffer.from(descriptionOf(layer)).toString("base64")}`),
    `${OPTION}overlay-rw`,
    `lowerdir=${layers.map(({ key }) => layerId(nameOf(key))).join(":")}`,
  ];
  return [{ type: "fuse3.kata-overlay", source: "/", options }];
}

/** The layers that a snapshot stands on, the top one first. */
function layersBelow(store: SnapshotStore, snapshot: Snapshot): Snapshot[] {
  const layers: Snapshot[] = [];
  for (let key = snapshot.parent; key !== ""; ) {
    const layer = store.get(key);
    if (layer.kind !== "committed" || layers.length >= MAX_LAYERS) {
      throw new KataError("failed-precondition", {
        operation: "mount snapshot",
        object: snapshot.key,
        hint: `${key} is no layer, or one too many`,
      });
    }
    layers.push(layer);
    key = layer.parent;
  }
  return layers;
}

function descriptionOf({ key, labels }: Snapshot): string {
  const rootHash = labels[ROOT_HASH_LABEL];
  if (rootHash === undefined) {
    throw new KataError("failed-precondition", {
      operation: "mount snapshot",
      object: key,
      hint: "the layer has no root hash: remove the image and pull it again",
    });
  }
  return [
    layerId(nameOf(key)),
    labels[FORMAT_LABEL] ?? "tar",
    "ro",
    `${OPTION}block_device=file`,
    `${OPTION}is-layer`,
    `${OPTION}root-hash=${rootHash}`,
  ].join(",");
}
