/** What is in the guest's initial file system. */
import type { CpioEntry } from "./cpio.ts";
import { GUEST_MODULES } from "./guest-modules.ts";
import type { ResolvedModule } from "./kernel-modules.ts";
import type { ModuleFile } from "./kernel-source.ts";
import { withoutSignature } from "./module-info.ts";
import {
  ALIAS_LIST,
  aliasList,
  DEPENDENCY_LIST,
  dependencyList,
  EARLY_LIST,
  LATE_LIST,
  loadList,
  MODULE_DIRECTORY,
} from "./module-lists.ts";

export interface InitrdContent {
  /** The agent: a static program, which the kernel starts as process 1. */
  readonly agent: Uint8Array;
  /** The program by which the agent pulls images; undefined for a guest that pulls none. */
  readonly pullProgram: Uint8Array | undefined;
  /** Certificates that it knows registries by, PEM; undefined for none. */
  readonly authorities: string | undefined;
  /** In the order of loading. */
  readonly modules: readonly ResolvedModule<ModuleFile>[];
  /** A static busybox for `agent.debug_console`; undefined for none. */
  readonly debugShell: Uint8Array | undefined;
  /** The policy that the agent begins with, Rego; undefined for none. */
  readonly policy: string | undefined;
}

/** Where the agent looks for it. Source: upstream's agent. */
const DEFAULT_POLICY = "etc/kata-opa/default-policy.rego";

const MOUNT_POINTS = ["dev", "new-root", "proc", "run", "sys"];

/** What programs that look up root and tty expect. Source: passwd(5), group(5), hosts(5). */
const ETC_FILES: Readonly<Record<string, string>> = {
  "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
  "etc/hostname": "localhost\n",
  "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
  "etc/resolv.conf": "",
};

/** The entries of the cpio archive, sorted by path, so that a directory comes before what is in it. */
export function initrdEntries({
  agent,
  pullProgram,
  authorities,
  modules,
  debugShell,
  policy,
}: InitrdContent): CpioEntry[] {
  const entries: CpioEntry[] = [
    ...MOUNT_POINTS.map((path) => ({ type: "directory" as const, path, mode: 0o755 })),
    { type: "directory", path: "root", mode: 0o700 },
    { type: "directory", path: "tmp", mode: 0o1777 },
    // The kernel opens it as the first process's stdin, stdout and stderr, before anything is mounted.
    { type: "character-device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { type: "character-device", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
    { type: "file", path: "init", mode: 0o755, data: agent },
    ...Object.entries(ETC_FILES).map(([path, text]) => textFile(path, text)),
    textFile(DEPENDENCY_LIST, dependencyList(modules.map(({ module, before }) => ({ module, before })))),
    textFile(ALIAS_LIST, aliasList(modules)),
    textFile(EARLY_LIST, loadList(GUEST_MODULES, "early", modules)),
    textFile(LATE_LIST, loadList(GUEST_MODULES, "late", modules)),
    ...modules.map(({ module }) => ({
      type: "file" as const,
      path: `${MODULE_DIRECTORY}/${module.path}`,
      mode: 0o644,
      // Nothing in the guest checks it, and checking costs time at each load.
      data: withoutSignature(module.data),
    })),
  ];
  if (pullProgram !== undefined) {
    entries.push({ type: "file", path: "bin/kata-pull", mode: 0o755, data: pullProgram });
  }
  if (authorities !== undefined) entries.push(textFile("etc/ssl/certs/ca-certificates.crt", authorities));
  if (policy !== undefined) entries.push(textFile(DEFAULT_POLICY, policy));
  if (debugShell !== undefined) {
    entries.push(
      { type: "file", path: "bin/busybox", mode: 0o755, data: debugShell },
      { type: "symbolic-link", path: "bin/sh", mode: 0o777, target: "busybox" },
    );
  }
  return withDirectories(entries).sort((a, b) => (a.path < b.path ? -1 : 1));
}

function textFile(path: string, text: string): CpioEntry {
  return { type: "file", path, mode: 0o644, data: new TextEncoder().encode(text) };
}

/** `entries` and the directories that they are in. */
function withDirectories(entries: readonly CpioEntry[]): CpioEntry[] {
  const all = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries) {
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1)) {
      const parent = path.slice(0, slash);
      if (!all.has(parent)) all.set(parent, { type: "directory", path: parent, mode: 0o755 });
    }
  }
  return [...all.values()];
}
