/**
 * Reading the configuration from its files: the first main file that exists, and the drop-ins beside it.
 *
 * What is read decides what root runs. A file that the environment names is read from a place for configuration, or from
 * anywhere if nobody but root can have written it.
 */
import {
  type Configuration,
  type ConfigurationSource,
  configurationPaths,
  dropInDirectory,
  isShippedLocation,
  type PathRequest,
  parseConfiguration,
} from "../config/index.ts";
import { hasErrno, KataError } from "../kata-error.ts";
import { O_PATH, open, readDirectory, readlink, readTextFile, S_IFMT, S_IFREG, stat } from "../sys/files.ts";

/** Largest file, bytes: four for each character that the parser takes. */
const MAX_FILE_BYTES = 4 << 20;
/** More drop-ins than this are a mistake. */
const MAX_DROP_INS = 256;

export interface LoadRequest extends PathRequest {
  /** An unknown key is an error; else it is a warning (the default). */
  readonly strict?: boolean;
}

/**
 * The configuration that counts for `request`.
 *
 * @throws KataError `invalid-configuration` if there is no file, or for what is in it, with `FILE:LINE:COLUMN`;
 * `permission-denied` for a file named by the environment that others than root can change.
 */
export function loadConfiguration({ strict = false, ...request }: LoadRequest): Configuration {
  const path = findFile(configurationPaths(request));
  if (path.named === request.environment && !isShippedLocation(path.named)) checkOnlyRootWrites(path.real);
  const dropIns = readDropIns(dropInDirectory(path.real));
  return parseConfiguration(readSource(path.real).text, path.named, { dropIns, strict });
}

interface FoundFile {
  /** As it was asked for. */
  readonly named: string;
  /** Without links. */
  readonly real: string;
}

function findFile(candidates: readonly string[]): FoundFile {
  for (const named of candidates) {
    try {
      using file = open(named, O_PATH);
      return { named, real: readlink(`/proc/self/fd/${file.fd}`) };
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
    }
  }
  throw new KataError("invalid-configuration", {
    operation: "find configuration",
    object: candidates.join(", "),
    errno: "ENOENT",
    hint: "create the file; docs/configuration.md shows a short one",
  });
}

/** @throws KataError `permission-denied` unless root owns the file and all directories above it, and no one else may write. */
function checkOnlyRootWrites(path: string): void {
  const parts = path.split("/");
  for (let length = parts.length; length > 0; length--) {
    const each = parts.slice(0, length).join("/") || "/";
    const { mode, uid } = stat(each);
    const isFile = length === parts.length;
    if (isFile && (mode & S_IFMT) !== S_IFREG) {
      throw new KataError("invalid-configuration", {
        operation: "read configuration",
        object: path,
        hint: "it is no ordinary file",
      });
    }
    // In a sticky directory, others cannot replace what root has put there.
    const othersWrite = (mode & 0o022) !== 0 && (isFile || (mode & 0o1000) === 0);
    if (uid === 0 && !othersWrite) continue;
    throw new KataError("permission-denied", {
      operation: "read configuration",
      object: `KATA_CONF_FILE=${path}`,
      hint: `others than root can change ${each}; use a file below /etc/kata-containers`,
    });
  }
}

function readDropIns(directory: string): ConfigurationSource[] {
  const names = listIfExists(directory).filter((name) => name.endsWith(".toml") && !name.startsWith("."));
  if (names.length > MAX_DROP_INS) {
    throw new KataError("invalid-configuration", {
      operation: "read drop-ins",
      object: directory,
      hint: `it has ${names.length} files, at most ${MAX_DROP_INS} are read`,
    });
  }
  return names.map((name) => readSource(`${directory}/${name}`));
}

function listIfExists(directory: string): string[] {
  try {
    return readDirectory(directory).map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function readSource(path: string): ConfigurationSource {
  return { name: path, text: readTextFile(path, MAX_FILE_BYTES) };
}
