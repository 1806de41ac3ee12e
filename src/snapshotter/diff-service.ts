/**
 * Unpacking layers as containerd asks for it: a layer that goes to a snapshot of ours becomes its disk at once, so that nothing is
 * unpacked. Everything else is for containerd's own differ, which it asks next.
 *
 * Source: containerd, api/services/diff/v1, core/diff (a differ that does not know the mounts answers "not implemented").
 */
import type { DiffHandlers } from "../../build/generated/diff.ts";
import { KataError } from "../kata-error.ts";
import { chainIdOf } from "../policy/layers/chain-id.ts";
import type { LayerConverter } from "./convert-layer.ts";
import { nameOf, namespaceOf } from "./snapshot.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

const ARCHIVE = "application/vnd.oci.image.layer.v1.tar";

export interface DiffContext {
  readonly store: SnapshotStore;
  readonly converter: LayerConverter;
}

export function diffHandlers({ store, converter }: DiffContext): DiffHandlers {
  return {
    apply: async ({ diff, mounts }, call) => {
      const [mount, ...others] = mounts;
      const active = others.length === 0 ? store.stagedAt(mount?.source ?? "") : undefined;
      if (diff === undefined || active === undefined) throw notOurs(mount?.source ?? "nothing");
      const namespace =
        namespaceOf(active.key) ?? call.metadata.get("containerd-namespace")?.[0] ?? "default";
      const parent = active.parent === "" ? undefined : nameOf(active.parent);
      const layer = await converter.convertBlob(namespace, diff.digest, (diffId) =>
        chainIdOf(parent, diffId),
      );
      if (layer === undefined) throw notOurs(diff.digest);
      const { chainId, rootHash, diffId, length } = layer;
      store.put({ ...active, disk: { chainId, rootHash } });
      return { applied: { mediaType: ARCHIVE, digest: diffId, size: BigInt(length) } };
    },
  };
}

function notOurs(object: string): KataError {
  return new KataError("unimplemented", {
    operation: "unpack layer",
    object,
    hint: "it is none that a snapshot of this snapshotter waits for",
  });
}
