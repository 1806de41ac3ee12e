/**
 * Volumes of Kubernetes by their places below the kubelet's directory, which is all that a runtime hears of them.
 *
 * ```
 * <kubelet>/pods/<uid>/volumes/kubernetes.io~empty-dir/<name>             kubernetes.io~configmap, ~secret, ~projected, …
 * <kubelet>/pods/<uid>/volumes/kubernetes.io~csi/<name>/mount
 * <kubelet>/pods/<uid>/volume-subpaths/<name>/<container>/<index>         a bind mount of something in the volume <name>
 * ```
 *
 * Source: Kubernetes, pkg/kubelet/kubelet_getters.go, pkg/volume/util/subpath/subpath_linux.go.
 */
import type { MountInfo } from "../../sys/mountinfo.ts";

/** A part of a volume. */
export interface SubPath {
  /** Below <pod>/volumes: the directory whose last component, or last but one, is the volume's name. */
  readonly volume: string;
  /** Path in the volume. */
  readonly path: string;
}

const SUB_PATH = /^(.*\/pods\/[^/]+)\/volume-subpaths\/([^/]+)\/[^/]+\/\d+$/;

/** Name of the empty volume at `path`; undefined if it is none. */
export function emptyDirName(path: string): string | undefined {
  return /\/volumes\/kubernetes\.io~empty-dir\/([^/]+)\/?$/.exec(path)?.[1];
}

/** Whether the volume at `path` is one that Kubernetes changes while it is used. */
export function isUpdated(path: string): boolean {
  return /\/volumes\/kubernetes\.io~(configmap|secret|projected|downward-api)\/[^/]+\/?$/.test(path);
}

/** Whether `path` is a part of a volume, of which {@link resolveSubPath} tells more. */
export function isSubPath(path: string): boolean {
  return SUB_PATH.test(path);
}

/**
 * The volume that the bind mount at `source` shows a part of; undefined if the mounts do not tell.
 *
 * @param volumes directories of the pod's volumes of that name, as {@link volumeCandidates} names them.
 */
export function resolveSubPath(
  source: string,
  mounts: readonly MountInfo[],
  volumes: readonly string[],
): SubPath | undefined {
  const mount = mounts.findLast(({ mountPoint }) => mountPoint === source);
  if (mount === undefined) return undefined;
  for (const volume of volumes) {
    const base = mountOf(volume, mounts);
    if (base === undefined || base.major !== mount.major || base.minor !== mount.minor) continue;
    // The path of the volume in its file system.
    const inside = joined(base.root, volume.slice(base.mountPoint === "/" ? 0 : base.mountPoint.length));
    if (mount.root === inside) return { volume, path: "" };
    const prefix = inside === "/" ? "/" : `${inside}/`;
    if (mount.root.startsWith(prefix)) return { volume, path: mount.root.slice(prefix.length) };
  }
  return undefined;
}

/** Directory of the pod and name of the volume that `source` shows a part of. */
export function subPathVolume(source: string): { readonly pod: string; readonly name: string } | undefined {
  const [, pod, name] = SUB_PATH.exec(source) ?? [];
  return pod === undefined || name === undefined ? undefined : { pod, name };
}

/** The mount that `path` is on. */
function mountOf(path: string, mounts: readonly MountInfo[]): MountInfo | undefined {
  let best: MountInfo | undefined;
  for (const mount of mounts) {
    const { mountPoint } = mount;
    const isAbove = mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
    // Of two at one place the later one is on top.
    if (isAbove && mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  }
  return best;
}

function joined(root: string, rest: string): string {
  return root === "/" ? rest || "/" : `${root}${rest}`;
}
