/**
 * A root filesystem of verified layers: the snapshotter's mount names the layers, each a file that goes into the guest as a read-only
 * disk, with the root hash that the guest checks it by. The guest puts them together; nothing is mounted here.
 * Source: tardev-snapshotter and shim in Microsoft's fork of Kata Containers 3.2.0.azl5, facts only.
 */
import { decodeBase64 } from "../../crypto/base64.ts";
import { KataError } from "../../kata-error.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { joinPath } from "../path.ts";
import { GUEST_SANDBOX } from "../sandbox-paths.ts";
import type { RootfsMount } from "../types.ts";
import type { GuestStorage } from "./guest-messages.ts";

const OPTION = "io.katacontainers.fs-opt.";
const PREFIX = `${OPTION}layer-src-prefix=`;
const LAYER = `${OPTION}layer=`;
/** Most layers. Source: overlayfs, `OVL_MAX_STACK`. */
const MAX_LAYERS = 500;

export interface RootfsLayer {
  /** The file on the host. */
  readonly path: string;
  /** What the guest is told, but for the disk's place. */
  readonly storage: Omit<GuestStorage, "source">;
}

export interface LayeredRootfs {
  readonly layers: readonly RootfsLayer[];
  /** The overlay of them, but for its mount point. */
  readonly overlay: Omit<GuestStorage, "mountPoint">;
}

/** The layers that `rootfs` names, the top one first; undefined if it names none. @throws KataError `invalid-argument`. */
export function layeredRootfs(rootfs: readonly RootfsMount[]): LayeredRootfs | undefined {
  const mount = rootfs.find(({ options }) => options.some((option) => option.startsWith(LAYER)));
  if (mount === undefined) return undefined;
  const prefix = mount.options.find((option) => option.startsWith(PREFIX))?.slice(PREFIX.length) ?? "/";
  const layers = mount.options.flatMap((option) =>
    option.startsWith(LAYER) ? [parseLayer(option.slice(LAYER.length), prefix)] : [],
  );
  if (rootfs.length > 1 || layers.length > MAX_LAYERS) {
    throw malformed(`${rootfs.length} mounts with ${layers.length} layers`);
  }
  return {
    layers,
    overlay: { driver: "overlayfs", source: "none", fstype: mount.type, options: mount.options },
  };
}

function parseLayer(encoded: string, prefix: string): RootfsLayer {
  const bytes = decodeBase64(encoded, false, "required");
  if (bytes === undefined) throw malformed(encoded.slice(0, 200));
  const [source = "", filesystem = "", ...options] = utf8Decode(bytes).split(",");
  const name = source.slice(source.lastIndexOf("/") + 1);
  if (!/^[\w.-]{1,255}$/.test(name) || name === ".." || name === "." || !/^(tar|erofs)$/.test(filesystem)) {
    throw malformed([source, filesystem].join(",").slice(0, 200));
  }
  return {
    path: source.startsWith("/") ? source : joinPath(prefix, source),
    storage: {
      driver: "blk",
      fstype: filesystem,
      options,
      mountPoint: `${GUEST_SANDBOX}/layers/${name}`,
    },
  };
}

function malformed(object: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read layers of root filesystem",
    object: JSON.stringify(object),
    hint: `each ${LAYER} is FILE,erofs,OPTION… or FILE,tar,OPTION… in base64`,
  });
}
