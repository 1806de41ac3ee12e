/**
 * The saved machines of a host, in a directory that all shims share.
 *
 * ```
 * <template_path>/
 *   <name>.lock            held by who makes a template of this name
 *   <name>.failed          why the last try failed
 *   <name>-1/              a template: immutable, used by opening its files, so that it may be removed at any time
 *     memory               the machine's memory, mostly holes
 *     state                what its devices and processors know
 *     manifest.json        what it was made from, and what the files looked like then
 *   new-<pid>-<n>/         one that is being made
 * ```
 *
 * A name is a hash of what the machine depends on; the manifest has all of it. A template whose files are not as the manifest
 * says is removed and made again. Only root can write below the directory, and nothing is used if somebody else could.
 */
import { describeError, hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import {
  AT_EMPTY_PATH,
  chmod,
  type FileStatus,
  flock,
  ftruncate,
  mkdirAll,
  mkdirIfMissing,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  open,
  readDirectory,
  readTextFileIfExists,
  removeTree,
  rename,
  stat,
  statIfExists,
  statx,
  unlinkIfExists,
  writeFile,
} from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { wallClockMs } from "../../sys/time.ts";
import { formatManifest, parseManifest, type SavedFile, type TemplateManifest } from "./manifest.ts";
import { templateName } from "./template-name.ts";

/** Others of a host than these are removed, the longest unused first. */
const MAX_TEMPLATES = 16;
const MAX_TOTAL_BYTES = 2 * 2 ** 30;
/** After a failure, the next try is made no sooner, ms: a failing boot would cost every pod its time. */
const RETRY_AFTER_MS = 600_000;
/** What is being made for longer than this is left over from a maker that was killed, ms. */
const ABANDONED_AFTER_MS = 300_000;

const GROUP_OR_OTHERS_WRITE = 0o022;

/** A template that can be used, with its files open. */
export interface SavedTemplate extends Disposable {
  readonly directory: string;
  readonly memory: FileDescriptor;
  readonly state: FileDescriptor;
}

/** One that is being made. */
export interface UnfinishedTemplate extends Disposable {
  readonly memory: FileDescriptor;
  readonly state: FileDescriptor;
  /** Makes it the template of its name. */
  publish(): void;
}

export interface TemplateFacts {
  readonly manifest: TemplateManifest;
  readonly directory: string;
  /** Bytes of memory and disk that it takes. */
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly lastUse: number;
}

let made = 0;

export class TemplateStore {
  readonly #path: string;

  /** @param path the configuration's `template_path`. */
  constructor(path: string) {
    this.#path = path;
  }

  /** @throws KataError `permission-denied` if others than root can write there. */
  prepare(): void {
    mkdirAll(this.#path, 0o700);
    const { uid, mode } = stat(this.#path);
    if (uid === 0 && (mode & GROUP_OR_OTHERS_WRITE) === 0) return;
    throw new KataError("permission-denied", {
      operation: "use template directory",
      object: this.#path,
      hint: "others than root can write there; set template_path of [factory] to a directory of root's",
    });
  }

  /** The template of a machine. One that is damaged is removed, which `onDamage` is told. */
  find(fingerprint: string, onDamage: (reason: string) => void): SavedTemplate | undefined {
    const directory = this.#directoryOf(templateName(fingerprint));
    if (statIfExists(directory) === undefined) return undefined;
    try {
      const template = openTemplate(directory, fingerprint);
      touch(directory);
      return template;
    } catch (error) {
      // Another one may have removed it between two looks at it.
      if (statIfExists(directory) === undefined) return undefined;
      onDamage(describeError(error));
      removeTree(directory);
      return undefined;
    }
  }

  /** Takes a template away that does not work. Who uses it has its files open. */
  discard(template: SavedTemplate): void {
    removeTree(template.directory);
  }

  /** The right to make the template of a machine; undefined while another process has it. Closing it gives it back. */
  lock(fingerprint: string): FileDescriptor | undefined {
    const path = `${this.#path}/${templateName(fingerprint)}.lock`;
    const file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    if (flock(file.fd, "exclusive", false)) return file;
    file.close();
    return undefined;
  }

  /** Why no template of this machine is to be made for now. */
  failure(fingerprint: string): string | undefined {
    const path = this.#failurePath(fingerprint);
    const status = statIfExists(path);
    if (status === undefined || wallClockMs() - status.modifiedAt > RETRY_AFTER_MS) return undefined;
    return readTextFileIfExists(path);
  }

  forgetFailure(fingerprint: string): void {
    unlinkIfExists(this.#failurePath(fingerprint));
  }

  noteFailure(fingerprint: string, reason: string): void {
    unlinkIfExists(this.#failurePath(fingerprint));
    writeFile(this.#failurePath(fingerprint), reason);
  }

  /** Begins a template of `memoryMib`; it is gone at the end of the scope unless it was published. The maker holds the lock. */
  begin(fingerprint: string, memoryMib: number): UnfinishedTemplate {
    this.#removeAbandoned();
    const directory = `${this.#path}/new-${getpid()}-${made++}`;
    if (!mkdirIfMissing(directory, 0o700)) removeTree(directory);
    mkdirIfMissing(directory, 0o700);
    const create = (name: string) => open(`${directory}/${name}`, O_RDWR | O_CREAT | O_EXCL, 0o600);
    const memory = create("memory");
    const state = create("state");
    ftruncate(memory.fd, memoryMib * (1 << 20));
    let published = false;
    return {
      memory,
      state,
      publish: () => {
        for (const name of ["memory", "state"]) chmod(`${directory}/${name}`, 0o400);
        const manifest: TemplateManifest = {
          version: 1,
          fingerprint,
          memoryMib,
          madeAt: Math.round(wallClockMs()),
          memory: lookOf(statx(memory.fd, "", AT_EMPTY_PATH)),
          state: lookOf(statx(state.fd, "", AT_EMPTY_PATH)),
        };
        writeFile(`${directory}/manifest.json`, formatManifest(manifest), 0o400);
        const target = this.#directoryOf(templateName(fingerprint));
        removeTree(target);
        rename(directory, target);
        published = true;
        unlinkIfExists(this.#failurePath(fingerprint));
        this.#makeRoom(target);
      },
      [Symbol.dispose]: () => {
        memory.close();
        state.close();
        if (!published) removeTree(directory);
      },
    };
  }

  /** All templates, the last used first. One that cannot be read is none. */
  list(): TemplateFacts[] {
    if (statIfExists(this.#path) === undefined) return [];
    const found: TemplateFacts[] = [];
    for (const { name } of readDirectory(this.#path)) {
      if (!/^[0-9a-f]+-1$/.test(name)) continue;
      const directory = `${this.#path}/${name}`;
      const manifest = parseManifest(readTextFileIfExists(`${directory}/manifest.json`) ?? "");
      const status = statIfExists(directory);
      if (manifest === undefined || status === undefined) continue;
      const blocks = (file: string) => statIfExists(`${directory}/${file}`)?.blocks ?? 0;
      found.push({
        manifest,
        directory,
        bytes: (blocks("memory") + blocks("state")) * 512,
        lastUse: statIfExists(`${directory}/used`)?.modifiedAt ?? status.modifiedAt,
      });
    }
    return found.sort((a, b) => b.lastUse - a.lastUse);
  }

  /** Removes all templates. Machines that run go on. @returns how many there were. */
  destroy(): number {
    const templates = this.list();
    if (statIfExists(this.#path) === undefined) return 0;
    for (const { name } of readDirectory(this.#path)) {
      if (/^([0-9a-f]+-1|new-\d+-\d+|[0-9a-f]+\.failed)$/.test(name)) removeTree(`${this.#path}/${name}`);
    }
    return templates.length;
  }

  #directoryOf(name: string): string {
    return `${this.#path}/${name}-1`;
  }

  #failurePath(fingerprint: string): string {
    return `${this.#path}/${templateName(fingerprint)}.failed`;
  }

  #makeRoom(kept: string): void {
    let bytes = 0;
    for (const [index, template] of this.list().entries()) {
      bytes += template.bytes;
      if (template.directory === kept || (index < MAX_TEMPLATES && bytes <= MAX_TOTAL_BYTES)) continue;
      removeTree(template.directory);
    }
  }

  /** Machines that are no longer wanted would leave their failures behind for ever. */
  #removeAbandoned(): void {
    for (const { name } of readDirectory(this.#path)) {
      const lifetime = name.startsWith("new-")
        ? ABANDONED_AFTER_MS
        : name.endsWith(".failed")
          ? RETRY_AFTER_MS
          : undefined;
      const status = statIfExists(`${this.#path}/${name}`);
      if (lifetime === undefined || status === undefined) continue;
      if (wallClockMs() - status.modifiedAt > lifetime) removeTree(`${this.#path}/${name}`);
    }
  }
}

/** @throws KataError that tells what is not as it should be. */
function openTemplate(directory: string, fingerprint: string): SavedTemplate {
  const manifest = parseManifest(readTextFileIfExists(`${directory}/manifest.json`) ?? "");
  if (manifest === undefined) throw damaged(directory, "its manifest cannot be read");
  // Two machines whose hashes are the same: it happens to nobody, and must not go unnoticed.
  if (manifest.fingerprint !== fingerprint) throw damaged(directory, "it is another machine's");
  const memory = openFile(`${directory}/memory`, manifest.memory);
  try {
    const state = openFile(`${directory}/state`, manifest.state);
    return {
      directory,
      memory,
      state,
      [Symbol.dispose]: () => {
        memory.close();
        state.close();
      },
    };
  } catch (error) {
    memory.close();
    throw error;
  }
}

function openFile(path: string, expected: SavedFile): FileDescriptor {
  let file: FileDescriptor;
  try {
    file = open(path, O_RDONLY | O_NOFOLLOW);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ELOOP")) throw damaged(path, "it is missing");
    throw error;
  }
  const found = lookOf(statx(file.fd, "", AT_EMPTY_PATH));
  if (
    found.inode === expected.inode &&
    found.size === expected.size &&
    found.modifiedAt === expected.modifiedAt
  ) {
    return file;
  }
  file.close();
  throw damaged(path, "it has been changed");
}

function lookOf({ inode, size, modifiedAt }: FileStatus): SavedFile {
  return { inode, size, modifiedAt };
}

function damaged(path: string, reason: string): KataError {
  return new KataError("corrupt-data", { operation: "use template", object: `${path}: ${reason}` });
}

/** Notes a use, for who makes room. */
function touch(directory: string): void {
  writeFile(`${directory}/used`, "");
}
