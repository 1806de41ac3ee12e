/** The process that `exec` runs: a file's, or the container's own with what the flags change. Source: runc's `exec`. */
import { KataError } from "../../kata-error.ts";
import { parseProcess, parseSpecJson } from "../../oci/parse-spec.ts";
import type { LinuxCapabilities, Process, Spec, User } from "../../oci/types.ts";
import { readTextFile } from "../../sys/files.ts";
import { listFlag, textFlag } from "../flag-values.ts";
import type { FlagValues } from "../types.ts";

/** @param args the words behind the id. @throws KataError `invalid-argument` if there is no program to run. */
export function processToRun(spec: Spec, flags: FlagValues, args: readonly string[]): Process {
  const file = textFlag(flags, "process");
  if (file !== undefined) return parseProcess(parseSpecJson(readTextFile(file), file));
  return changedProcess(spec.process, flags, args);
}

/** The container's process with another program. */
export function changedProcess(
  own: Process | undefined,
  flags: FlagValues,
  args: readonly string[],
): Process {
  if (args.length === 0) {
    throw new KataError("invalid-argument", {
      operation: "run process",
      object: "exec",
      hint: "name a program after the id, or --process FILE",
    });
  }
  const base: Process = own ?? { user: { uid: 0, gid: 0 }, cwd: "/" };
  const added = listFlag(flags, "cap");
  const { consoleSize: _size, ...kept } = base;
  return {
    ...kept,
    args,
    terminal: flags.has("tty"),
    cwd: textFlag(flags, "cwd") ?? base.cwd,
    env: [...(base.env ?? []), ...listFlag(flags, "env")],
    user: changedUser(base.user, flags),
    ...(added.length === 0 ? {} : { capabilities: withCapabilities(base.capabilities ?? {}, added) }),
    ...(flags.has("no-new-privs") ? { noNewPrivileges: true } : {}),
    ...labels(flags),
  };
}

function labels(flags: FlagValues): Partial<Process> {
  const [apparmorProfile, selinuxLabel] = [textFlag(flags, "apparmor"), textFlag(flags, "process-label")];
  return {
    ...(apparmorProfile === undefined ? {} : { apparmorProfile }),
    ...(selinuxLabel === undefined ? {} : { selinuxLabel }),
  };
}

function changedUser(own: User, flags: FlagValues): User {
  const text = textFlag(flags, "user");
  const groups = listFlag(flags, "additional-gids").map((each) => number("additional-gids", each));
  const more = groups.length === 0 ? {} : { additionalGids: [...(own.additionalGids ?? []), ...groups] };
  if (text === undefined) return { ...own, ...more };
  const [uid = "", gid] = text.split(":");
  return { uid: number("user", uid), gid: gid === undefined ? 0 : number("user", gid), ...more };
}

function withCapabilities(own: LinuxCapabilities, added: readonly string[]): LinuxCapabilities {
  const add = (names: readonly string[] = []) => [...new Set([...names, ...added])];
  return {
    ...own,
    bounding: add(own.bounding),
    effective: add(own.effective),
    permitted: add(own.permitted),
  };
}

function number(flag: string, text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) <= 0xffff_fffe) return Number(text);
  throw new KataError("invalid-argument", {
    operation: "read command line",
    object: `--${flag} ${JSON.stringify(text.slice(0, 80))}`,
    hint: "users and groups are numbers here; names are the engine's to look up",
  });
}
