/**
 * Direct volumes: disks that a storage plugin of Kubernetes leaves to the runtime instead of mounting them on the host.
 *
 * ```
 * <root>/<base64url(volume path)>/mountInfo.json     written by `kata-runtime direct-volume add`, which the plugin runs
 * <root>/<base64url(volume path)>/<sandbox id>       empty: the pod that uses it
 * ```
 *
 * Source: upstream Kata Containers, docs/design/direct-blk-device-assignment.md.
 */
import { encodeBase64 } from "../../crypto/base64.ts";
import { hasErrno, KataError } from "../../kata-error.ts";
import {
  mkdirAll,
  readDirectory,
  readTextFileIfExists,
  removeTree,
  replaceFile,
  statIfExists,
  unlinkIfExists,
} from "../../sys/files.ts";
import { utf8Encode } from "../../sys/utf8.ts";

export const DIRECT_VOLUMES = "/run/kata-containers/shared/direct-volumes";
const FILE = "mountInfo.json";
/** Longest name of a file, bytes. */
const MAX_NAME_BYTES = 255;

export interface DirectVolume {
  /** File or block device on the host, or the socket of the program that serves the disk. */
  readonly device: string;
  readonly isServed: boolean;
  readonly filesystem: string;
  readonly options: readonly string[];
  readonly group: { readonly gid: number; readonly onRootMismatch: boolean } | undefined;
  /** Whether a disk without a file system is given one. */
  readonly createFilesystem: boolean;
}

/** The directory for volume `path`. @throws KataError `invalid-argument` for a path that is not absolute, or too long. */
export function directVolumeDirectory(path: string, root = DIRECT_VOLUMES): string {
  const name = directoryName(path);
  if (path.startsWith("/") && !path.includes("\0") && name.length <= MAX_NAME_BYTES) return `${root}/${name}`;
  throw new KataError("invalid-argument", {
    operation: "find direct volume",
    object: JSON.stringify(path.slice(0, 256)),
    hint: "a volume is named by its absolute path, of 191 bytes at most",
  });
}

/** Upstream's: the path in the base64 for file names, padded. */
function directoryName(path: string): string {
  return encodeBase64(utf8Encode(path), true, true);
}

/** What is written down for the volume at `path`; undefined if it is no direct volume. @throws KataError `invalid-data`. */
export function readDirectVolume(path: string, root = DIRECT_VOLUMES): DirectVolume | undefined {
  if (directoryName(path).length > MAX_NAME_BYTES) return undefined;
  const file = `${directVolumeDirectory(path, root)}/${FILE}`;
  const text = readTextFileIfExists(file);
  return text === undefined ? undefined : parseDirectVolume(text, file);
}

/** Writes it down. `mountInfo` is JSON, and is checked first. */
export function addDirectVolume(path: string, mountInfo: string, root = DIRECT_VOLUMES): void {
  parseDirectVolume(mountInfo, "the volume's description");
  const directory = directVolumeDirectory(path, root);
  mkdirAll(directory, 0o700);
  replaceFile(`${directory}/${FILE}`, mountInfo);
}

/** Forgets the volume. No error if there is none. */
export function removeDirectVolume(path: string, root = DIRECT_VOLUMES): void {
  const directory = directVolumeDirectory(path, root);
  if (statIfExists(directory) !== undefined) removeTree(directory);
}

/** Notes that a pod uses the volume, so that tools find its shim. @returns takes the note back. */
export function claimDirectVolume(path: string, sandboxId: string, root = DIRECT_VOLUMES): () => void {
  const note = `${directVolumeDirectory(path, root)}/${sandboxId}`;
  replaceFile(note, "");
  return () => void unlinkIfExists(note);
}

/** Takes back every note of a pod that is no more. */
export function unclaimDirectVolumes(sandboxId: string, root = DIRECT_VOLUMES): void {
  if (statIfExists(root) === undefined) return;
  for (const { name } of readDirectory(root)) unlinkIfExists(`${root}/${name}/${sandboxId}`);
}

/** The pod that uses the volume. @throws KataError `not-found` if no volume is written down, or no pod uses it. */
export function sandboxOfVolume(path: string, root = DIRECT_VOLUMES): string {
  let names: string[];
  try {
    names = readDirectory(directVolumeDirectory(path, root)).map(({ name }) => name);
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
    throw notFound(path, "no volume of this path has been added", error);
  }
  // A file that is being replaced has a dot in front.
  const [sandbox] = names.filter((name) => name !== FILE && /^[A-Za-z0-9][\w.-]*$/.test(name));
  if (sandbox !== undefined) return sandbox;
  throw notFound(path, "no pod uses it");
}

function notFound(object: string, hint: string, cause?: unknown): KataError {
  return new KataError("not-found", { operation: "find direct volume", object, hint, cause });
}

/** Kinds of volumes that are disks, the last one by another program (vhost-user). The other kind is a device that is passed through. */
const DISKS = ["block", "directvol", "spdkvol"];
const SERVED = "spdkvol";

/** @param where for messages. @throws KataError `invalid-data`; `unsupported` for a kind of volume that is no disk. */
export function parseDirectVolume(text: string, where: string): DirectVolume {
  const value = parseJson(text, where);
  const refuse = (hint: string, code = "invalid-data") =>
    new KataError(code, { operation: "read direct volume", object: where, hint });
  const { device, fstype, options = [], metadata = {} } = value;
  const kind = value["volume-type"];
  if (typeof kind !== "string" || !DISKS.includes(kind)) {
    throw refuse(
      `its volume-type is ${JSON.stringify(kind)}; this version has ${DISKS.join(", ")}`,
      "unsupported",
    );
  }
  if (typeof device !== "string" || !device.startsWith("/")) throw refuse("its device is no absolute path");
  if (typeof fstype !== "string" || !/^[a-z0-9]{1,16}$/.test(fstype))
    throw refuse("its fstype is no file system");
  if (!Array.isArray(options) || !options.every((option) => typeof option === "string")) {
    throw refuse("its options are no list of texts");
  }
  if (!isRecord(metadata)) throw refuse("its metadata is no table");
  if (metadata.encryptionKey !== undefined) {
    throw refuse("it asks for encryption, which this version has not", "unsupported");
  }
  const { fsGroup, fsGroupChangePolicy, createFilesystem } = metadata;
  const createsFilesystem = createFilesystem === true || createFilesystem === "true";
  if (kind === SERVED && createsFilesystem)
    throw refuse("the host cannot make a file system on a disk that another program serves", "unsupported");
  if (fsGroup !== undefined && !/^\d{1,10}$/.test(String(fsGroup))) throw refuse("its fsGroup is no number");
  return {
    device,
    isServed: kind === SERVED,
    filesystem: fstype,
    options: options.map(String),
    group:
      fsGroup === undefined
        ? undefined
        : { gid: Number(fsGroup), onRootMismatch: fsGroupChangePolicy === "OnRootMismatch" },
    createFilesystem: createsFilesystem,
  };
}

function parseJson(text: string, where: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new KataError("invalid-data", {
      operation: "read direct volume",
      object: where,
      hint: "it is no JSON",
      cause,
    });
  }
  if (isRecord(value)) return value;
  throw new KataError("invalid-data", {
    operation: "read direct volume",
    object: where,
    hint: "it is no table",
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
