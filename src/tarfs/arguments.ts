/** The command line of mount.tar, which mount(8) starts for `-t tar`. Source: utarfs of Microsoft's fork 3.2.0.azl5, facts only. */
import { KataError } from "../kata-error.ts";
import { MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_SYNCHRONOUS } from "../sys/mount.ts";

const MS_DIRSYNC = 0x80;

/** What an option changes of the flags of mount(2). */
const OPTIONS: Readonly<Record<string, { readonly set: number; readonly clear: number }>> = {
  dev: { set: 0, clear: MS_NODEV },
  nodev: { set: MS_NODEV, clear: 0 },
  suid: { set: 0, clear: MS_NOSUID },
  nosuid: { set: MS_NOSUID, clear: 0 },
  ro: { set: 0, clear: 0 },
  exec: { set: 0, clear: MS_NOEXEC },
  noexec: { set: MS_NOEXEC, clear: 0 },
  atime: { set: 0, clear: MS_NOATIME },
  noatime: { set: MS_NOATIME, clear: 0 },
  dirsync: { set: MS_DIRSYNC, clear: 0 },
  sync: { set: MS_SYNCHRONOUS, clear: 0 },
  async: { set: 0, clear: MS_SYNCHRONOUS },
};

/** The flags of mount(2). @throws KataError `invalid-argument` in that program's words. */
export function mountFlags(type: string | undefined, options: readonly string[]): number {
  if (type !== undefined && type !== "tar") throw invalid('File system (-t) must be "tar"');
  let flags = 0;
  for (const option of options) {
    if (option === "") continue;
    if (option === "rw") throw invalid("Tar file system are always read-only");
    const change = Object.hasOwn(OPTIONS, option) ? OPTIONS[option] : undefined;
    if (change === undefined) throw invalid(`Unknown option (${option})`);
    flags = (flags & ~change.clear) | change.set;
  }
  return flags;
}

function invalid(object: string): KataError {
  return new KataError("invalid-argument", { operation: "mount.tar", object });
}
