/**
 * Where the OCI command line keeps what it knows of containers: a directory for each below `--root`.
 *
 * The directory is made first and removed last, so that its name is taken as long as anything of the container is there. It is the
 * bundle of the shim too: `config.json` as the shim gets it, `address`, `shim.pid`, `log`.
 */
import { KataError } from "../../kata-error.ts";
import { sandboxPaths } from "../../sandbox/sandbox-paths.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import {
  exists,
  flock,
  mkdirAll,
  mkdirIfMissing,
  O_CREAT,
  O_RDWR,
  open,
  readDirectory,
  readTextFileIfExists,
  removeTree,
  replaceFile,
  statIfExists,
} from "../../sys/files.ts";
import { MAX_SOCKET_PATH_BYTES } from "../../sys/socket.ts";
import { type ContainerRecord, parseContainerRecord } from "./container-record.ts";

/** Of an engine that names none, as Podman. */
export const DEFAULT_ROOT = "/run/kata-runtime";

const ROOT_MODE = 0o711;
const CONTAINER_MODE = 0o700;
/** Below a root; an id cannot begin with a dot. */
const SOCKETS = ".sockets";
/** A socket's name is the SHA-256 of what it belongs to. */
const SOCKET_NAME_BYTES = 64;

/** The directory of one container. */
export interface ContainerDirectory {
  readonly root: string;
  readonly id: string;
  readonly path: string;
}

/**
 * Takes an id: makes its directory.
 *
 * @throws KataError `already-exists` if it is taken, `invalid-argument` for what is no id.
 */
export function makeContainerDirectory(root: string, id: string): ContainerDirectory {
  const directory = directoryOf(root, id);
  mkdirAll(root, ROOT_MODE);
  if (mkdirIfMissing(directory.path, CONTAINER_MODE)) return directory;
  throw new KataError("already-exists", {
    operation: "create container",
    object: id,
    hint: "container with given ID already exists",
  });
}

/** The directory of a container that is there. @throws KataError `not-found`, with the words that engines look for. */
export function findContainer(root: string, id: string): ContainerDirectory {
  const directory = directoryOf(root, id);
  if (exists(directory.path)) return directory;
  throw new KataError("not-found", {
    operation: "find container",
    object: `${id}: container does not exist`,
  });
}

/** All containers below `root`, by name. */
export function containersIn(root: string): ContainerDirectory[] {
  if (!exists(root)) return [];
  return readDirectory(root)
    .filter(({ name }) => !name.startsWith("."))
    .map(({ name }) => ({ root, id: name, path: `${root}/${name}` }))
    .filter(({ path }) => statIfExists(path) !== undefined)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function directoryOf(root: string, id: string): ContainerDirectory {
  // An id becomes part of the sandbox's paths too, so those decide what one is.
  sandboxPaths(id);
  return { root, id, path: `${root}/${id}` };
}

/** Who makes or removes a container holds its lock; the end of the process gives it back too. @returns undefined if it is held. */
export function lockContainer({ path }: ContainerDirectory): FileDescriptor | undefined {
  const file = open(`${path}/lock`, O_RDWR | O_CREAT, 0o600);
  if (flock(file.fd, "exclusive", false)) return file;
  file.close();
  return undefined;
}

/** What is known of the container; undefined until it has been created. @throws KataError `invalid-argument` for a damaged record. */
export function readRecord({ path }: ContainerDirectory): ContainerRecord | undefined {
  const text = readTextFileIfExists(`${path}/state.json`);
  return text === undefined ? undefined : parseContainerRecord(text, `${path}/state.json`);
}

export function writeRecord({ path }: ContainerDirectory, record: ContainerRecord): void {
  replaceFile(`${path}/state.json`, JSON.stringify(record));
}

export function removeDirectory({ path }: ContainerDirectory): void {
  removeTree(path);
}

/** Where the shims of a root listen: below it, if a socket's path has room there. */
export function socketDirectory(root: string): string {
  const below = `${root}/${SOCKETS}`;
  const longest = MAX_SOCKET_PATH_BYTES - SOCKET_NAME_BYTES - 1;
  return below.length <= longest ? below : `${DEFAULT_ROOT}/${SOCKETS}`;
}
