/**
 * Files of the host that are copied into the guest over the agent's protocol, for a guest that shares no file system with it.
 *
 * A volume that Kubernetes changes is looked at once a second, and what has changed is copied in the order in which a reader may trust
 * it: directories, files, links, and the link `..data`, which makes the new state the one that is read, last. The agent puts each under
 * its name in one step. What is gone on the host stays in the guest until the pod ends, as the protocol cannot remove it.
 * Sources: upstream's agent protocol, CopyFile; Kubernetes, pkg/volume/util/atomic_writer.go.
 */
import { describeError, KataError } from "../../kata-error.ts";
import type { Clock, Timer } from "../../sys/clock.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type FileStatus,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  open,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  read,
  readDirectoryFd,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  statx,
} from "../../sys/files.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import type { AgentClient } from "../agent-client.ts";
import { GUEST_SHARE } from "../sandbox-paths.ts";
import type { Logger } from "../types.ts";

/** What is promised is twice as much, ms. */
const INTERVAL_MS = 1000;
const MAX_DEPTH = 64;
const MAX_ENTRIES = 16_384;
/** All of a volume; it is in the guest's memory. */
const MAX_BYTES = 128 << 20;
/** In one message: the agent takes four times as much. */
const CHUNK_BYTES = 1 << 20;
const CALL = { timeoutMs: 60_000 };
/** The link that Kubernetes exchanges when all else is in place. */
const DATA_LINK = "..data";

interface Entry {
  /** Below the source; empty for itself. */
  readonly path: string;
  readonly status: FileStatus;
  /** Of a link. */
  readonly target: string;
  /** What tells whether it has changed. */
  readonly version: string;
}

export class GuestCopies {
  readonly #calls: Pick<AgentClient, "copyFile">;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Those that are followed, by their names in the guest. */
  readonly #followed = new Map<string, { timer: Timer | undefined }>();

  constructor(calls: Pick<AgentClient, "copyFile">, clock: Clock, logger: Logger) {
    this.#calls = calls;
    this.#clock = clock;
    this.#logger = logger;
  }

  /**
   * Copies the file or directory at `source` to `name` in the guest.
   *
   * @param follow whether later changes are copied, until {@link forget} is called.
   * @throws KataError `resource-exhausted` if it is more than the guest should hold.
   */
  async copy(source: string, name: string, follow: boolean): Promise<void> {
    const held = new Map<string, string>();
    await this.#bring(source, name, held);
    if (follow) this.#follow(source, name, held);
  }

  forget(name: string): void {
    const followed = this.#followed.get(name);
    this.#followed.delete(name);
    followed?.timer?.cancel();
  }

  forgetAll(): void {
    for (const name of [...this.#followed.keys()]) this.forget(name);
  }

  #follow(source: string, name: string, held: Map<string, string>): void {
    const followed: { timer: Timer | undefined } = { timer: undefined };
    let failed = "";
    const round = async (): Promise<void> => {
      try {
        await this.#bring(source, name, held);
        failed = "";
      } catch (error) {
        // It is looked at again. Told once: a source that is gone for good would fill the log.
        const text = describeError(error);
        if (text !== failed) this.#logger.warn("follow volume", { source, error: text });
        failed = text;
      }
      if (this.#followed.get(name) === followed) schedule();
    };
    const schedule = () => {
      followed.timer = this.#clock.after(INTERVAL_MS, () => void round());
    };
    this.#followed.set(name, followed);
    schedule();
  }

  /** Copies what `held` does not have yet. */
  async #bring(source: string, name: string, held: Map<string, string>): Promise<void> {
    const entries = inOrder(takeSnapshot(source)).filter(({ path, version }) => held.get(path) !== version);
    for (const entry of entries) {
      await this.#send(source, name, entry);
      held.set(entry.path, entry.version);
    }
  }

  async #send(source: string, name: string, entry: Entry): Promise<void> {
    const { path, status, target } = entry;
    const common = {
      path: `${GUEST_SHARE}/${path === "" ? name : `${name}/${path}`}`,
      fileMode: status.mode,
      dirMode: 0o755,
      uid: status.uid,
      gid: status.gid,
    };
    if ((status.mode & S_IFMT) !== S_IFREG) {
      const data = utf8Encode(target);
      await this.#calls.copyFile({ ...common, fileSize: BigInt(data.length), offset: 0n, data }, CALL);
      return;
    }
    using file = openEntry(source, path);
    const chunk = new Uint8Array(CHUNK_BYTES);
    let offset = 0;
    do {
      const count = read(file.fd, chunk.subarray(0, Math.min(CHUNK_BYTES, status.size - offset)));
      if (count === 0 && offset < status.size) throw changing(`${source}/${path}`);
      const data = chunk.subarray(0, count);
      await this.#calls.copyFile(
        { ...common, fileSize: BigInt(status.size), offset: BigInt(offset), data },
        CALL,
      );
      offset += count;
    } while (offset < status.size);
  }
}

function openEntry(source: string, path: string): ReturnType<typeof open> {
  if (path === "") return open(source, O_RDONLY | O_NONBLOCK);
  using root = open(source, O_RDONLY | O_DIRECTORY);
  return openat2(root.fd, path, {
    flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
    resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
  });
}

/** Everything that is in the way of nothing first: a link leads to what is there. */
function inOrder(entries: readonly Entry[]): Entry[] {
  const rank = ({ path, status }: Entry): number => {
    if (path === DATA_LINK) return 3;
    const kind = status.mode & S_IFMT;
    return kind === S_IFDIR ? 0 : kind === S_IFREG ? 1 : 2;
  };
  // The sort is stable: directories stay behind those that they are in.
  return [...entries].sort((a, b) => rank(a) - rank(b));
}

function takeSnapshot(source: string): Entry[] {
  const status = statx(-100, source);
  const entries: Entry[] = [entryOf("", status, "")];
  if ((status.mode & S_IFMT) === S_IFDIR) {
    using root = open(source, O_RDONLY | O_DIRECTORY);
    walk(root.fd, "", 0, entries, source);
  }
  const bytes = entries.reduce(
    (sum, entry) => sum + ((entry.status.mode & S_IFMT) === S_IFREG ? entry.status.size : 0),
    0,
  );
  if (bytes > MAX_BYTES) throw tooMuch(source, `${bytes} bytes of at most ${MAX_BYTES}`);
  return entries;
}

function walk(directory: number, path: string, depth: number, entries: Entry[], source: string): void {
  if (depth > MAX_DEPTH) throw tooMuch(source, `deeper than ${MAX_DEPTH} directories`);
  for (const { name } of readDirectoryFd(directory, path)) {
    if (entries.length >= MAX_ENTRIES) throw tooMuch(source, `more than ${MAX_ENTRIES} entries`);
    const inner = path === "" ? name : `${path}/${name}`;
    const status = statx(directory, name, AT_SYMLINK_NOFOLLOW);
    switch (status.mode & S_IFMT) {
      case S_IFDIR: {
        entries.push(entryOf(inner, status, ""));
        using child = openat2(directory, name, {
          flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
          resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        });
        walk(child.fd, inner, depth + 1, entries, source);
        break;
      }
      case S_IFLNK:
        entries.push(entryOf(inner, status, readlinkat(directory, name)));
        break;
      case S_IFREG:
        entries.push(entryOf(inner, status, ""));
        break;
      default:
      // Sockets, pipes and devices mean nothing in another machine.
    }
  }
}

function entryOf(path: string, status: FileStatus, target: string): Entry {
  const { mode, uid, gid, inode, size, modifiedAt } = status;
  const content = (mode & S_IFMT) === S_IFREG ? `:${inode}:${size}:${modifiedAt}` : `:${target}`;
  return { path, status, target, version: `${mode}:${uid}:${gid}${content}` };
}

function tooMuch(source: string, what: string): KataError {
  return new KataError("resource-exhausted", {
    operation: "copy into the guest",
    object: `${source}: ${what}`,
    hint: 'with shared_fs = "none" a volume is copied into the memory of the guest; give it as a disk',
  });
}

function changing(object: string): KataError {
  return new KataError("unavailable", {
    operation: "copy into the guest",
    object,
    hint: "it became shorter meanwhile",
  });
}
