/**
 * Secrets that come to a container as files which only the guest's data hub can read.
 *
 * A volume with such a file is shown to the container as a copy in the guest's memory, with the secrets in the open: the volume itself
 * may be the host's, who must not see them. A copy does not follow the volume.
 *
 * Sources: upstream's agent (sealed secrets in files: what begins with `sealed.` in a volume of Kubernetes'); Kubernetes, AtomicWriter
 * (`..data`).
 */
import { KataError } from "../../kata-error.ts";
import type { Mount, Spec } from "../../oci/types.ts";
import {
  exists,
  fchmod,
  fchown,
  mkdirAll,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  open,
  openInRoot,
  readDirectory,
  readToEnd,
  removeTree,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  stat,
  statIfExists,
  statx,
  writeAll,
} from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { AGENT_DIRECTORY } from "../sandbox/paths.ts";
import type { DataHub } from "./data-hub.ts";

/** What a value begins with that only the hub can read. */
export const SEALED = "sealed.";
/** Where containers have their secrets by an agreement with upstream's agent, whatever the volume is. */
const AGREED_PLACE = "/sealed";
/** What the newest content of a Secret or ConfigMap is behind. */
const NEWEST = "..data";
/** Largest file of such a volume. Source: Kubernetes, MaxSecretSize. */
const MAX_SECRET_BYTES = 1 << 20;
const MAX_FILES = 4096;
const AT_EMPTY_PATH = 0x1000;

interface SecretFile {
  readonly name: string;
  readonly content: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * The specification with copies in the place of volumes with sealed files, if the guest has a hub.
 *
 * @param id of the container.
 * @param onUndo gets what takes the copies away.
 * @throws KataError if the hub refuses: a container must not run without what it was promised.
 */
export async function withUnsealedFiles(
  spec: Spec,
  hub: DataHub,
  id: string,
  onUndo: (undo: () => void) => void,
): Promise<Spec> {
  const candidates = (spec.mounts ?? []).filter(mayHoldSecrets);
  if (candidates.length === 0 || !hub.isThere) return spec;
  const directory = `${AGENT_DIRECTORY}/unsealed/${id}`;
  const sources = new Map<Mount, string>();
  onUndo(() => removeTree(directory));
  for (const mount of candidates) {
    const source = mount.source ?? "";
    const isDirectory = (stat(source).mode & S_IFMT) === S_IFDIR;
    const files = isDirectory ? filesOf(source) : [readFileAt(source)];
    if (!files.some(isSealed)) continue;
    const copy = `${directory}/${sources.size}`;
    mkdirAll(copy, 0o700);
    for (const file of files) writeCopy(copy, isSealed(file) ? await unsealed(file, hub) : file);
    sources.set(mount, isDirectory ? copy : `${copy}/${files[0]?.name}`);
  }
  if (sources.size === 0) return spec;
  const mounts = spec.mounts?.map((mount) => {
    const source = sources.get(mount);
    return source === undefined ? mount : { ...mount, source };
  });
  return { ...spec, ...(mounts === undefined ? {} : { mounts }) };
}

/** Whether a mount is a volume of Kubernetes' that is small enough to be looked through. */
function mayHoldSecrets({ destination, source = "" }: Mount): boolean {
  if (!source.startsWith(`${AGENT_DIRECTORY}/`)) return false;
  const status = statIfExists(source);
  if (status === undefined) return false;
  const kind = status.mode & S_IFMT;
  if (kind === S_IFREG) return status.size <= MAX_SECRET_BYTES;
  const isAgreed = destination === AGREED_PLACE || destination.startsWith(`${AGREED_PLACE}/`);
  return kind === S_IFDIR && (isAgreed || exists(`${source}/${NEWEST}`));
}

/** The files of a volume by the names that containers use; what else is in it is left out. */
function filesOf(volume: string): SecretFile[] {
  const names = readDirectory(volume)
    .map(({ name }) => name)
    .filter((name) => !name.startsWith(".."));
  if (names.length > MAX_FILES) {
    throw new KataError("resource-exhausted", {
      operation: "look for sealed files",
      object: `${volume}: ${names.length} files`,
    });
  }
  using root = open(volume, O_RDONLY | O_DIRECTORY);
  return names.flatMap((name) => {
    // Links of the volume lead to its newest content, and nowhere else.
    using file = openInRoot(root.fd, `/${name}`, O_RDONLY);
    return readOpen(file.fd, name) ?? [];
  });
}

function readFileAt(path: string): SecretFile {
  using file = open(path, O_RDONLY);
  const read = readOpen(file.fd, path.slice(path.lastIndexOf("/") + 1));
  if (read !== undefined) return read;
  throw new KataError("invalid-argument", { operation: "look for sealed files", object: path });
}

/** @returns undefined for what is no file. */
function readOpen(fd: number, name: string): SecretFile | undefined {
  const { mode, uid, gid } = statx(fd, "", AT_EMPTY_PATH);
  if ((mode & S_IFMT) !== S_IFREG) return undefined;
  return { name, content: readToEnd(fd, name, MAX_SECRET_BYTES), mode: mode & 0o7777, uid, gid };
}

function isSealed({ content }: SecretFile): boolean {
  return utf8Decode(content.subarray(0, SEALED.length)) === SEALED;
}

async function unsealed(file: SecretFile, hub: DataHub): Promise<SecretFile> {
  return { ...file, content: await hub.unsealBytes(utf8Decode(file.content).trimEnd()) };
}

function writeCopy(directory: string, { name, content, mode, uid, gid }: SecretFile): void {
  using file = open(`${directory}/${name}`, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  writeAll(file.fd, content);
  fchown(file.fd, uid, gid);
  fchmod(file.fd, mode);
}
