/**
 * The program that stands in for Firecracker's jailer: it checks its command line and makes the jail for real. Only that it leaves a way
 * out for the machine behind Firecracker's stand-in, whose program is not in there, tells it from the other.
 * Source: Firecracker documentation, docs/jailer.md, "Jailer Operation".
 */
import { baseName } from "../../../src/sandbox/path.ts";
import {
  AT_FDCWD,
  chown,
  exists,
  mkdirAll,
  mknodat,
  O_RDONLY,
  open,
  readFile,
  rmdirIfExists,
  S_IFCHR,
  writeFile,
} from "../../../src/sys/files.ts";
import { MNT_DETACH, MS_BIND, MS_REC, MS_SLAVE, mount, pivotRoot, umount2 } from "../../../src/sys/mount.ts";
import { unshare } from "../../../src/sys/namespaces.ts";
import {
  CLONE_NEWNS,
  chdir,
  chroot,
  closeFrom,
  duplicateTo,
  execve,
  setIds,
} from "../../../src/sys/process.ts";
import { exit, programArguments, runProgram, writeSync } from "../../../src/sys/program.ts";

const OPTIONS = [
  ...[
    "--id",
    "--exec-file",
    "--uid",
    "--gid",
    "--chroot-base-dir",
    "--netns",
    "--cgroup",
    "--cgroup-version",
  ],
  ...["--parent-cgroup", "--resource-limit"],
];
const REQUIRED = ["--id", "--exec-file", "--uid", "--gid"];
const DEVICES = [
  { path: "dev/kvm", major: 10, minor: 232 },
  { path: "dev/net/tun", major: 10, minor: 200 },
];
const MAX_PROGRAM_BYTES = 64 << 20;
/** Left open for the program in the jail. */
const MOUNTS_DESCRIPTOR = 9;

async function main(): Promise<number> {
  if (programArguments.includes("--version")) {
    writeSync(1, "Jailer v1.12.1\n");
    return 0;
  }
  const end = programArguments.indexOf("--");
  const own = end < 0 ? programArguments : programArguments.slice(0, end);
  const forwarded = end < 0 ? [] : programArguments.slice(end + 1);
  const options = readOptions(own);
  const [id = "", program = "", uid = "", gid = ""] = REQUIRED.map(
    (name) => options.get(name) ?? refuse(`Argument '${name.slice(2)}' required, but not found.`),
  );
  if (!/^[A-Za-z0-9-]{1,64}$/.test(id)) refuse(`Invalid instance ID: ${id}`);
  const name = baseName(program);
  if (!name.includes("firecracker"))
    refuse(`Invalid filename. The filename of ${program} must contain 'firecracker'.`);
  if (!exists(program))
    refuse(`Failed to canonicalize path ${program}: No such file or directory (os error 2)`);
  if (![uid, gid].every((number) => /^\d{1,10}$/.test(number)))
    refuse(`Failed to parse uid or gid: ${uid}, ${gid}`);
  const base = options.get("--chroot-base-dir") ?? "/srv/jailer";
  const root = `${base}/${name}/${id}/root`;
  mkdirAll(root);
  writeFile(`${root}/${name}`, readFile(program, MAX_PROGRAM_BYTES), 0o755);
  enterJail(root);
  for (const { path, major, minor } of DEVICES) {
    mknodat(AT_FDCWD, `/${path}`, S_IFCHR | 0o600, major, minor);
    chown(`/${path}`, Number(uid), Number(gid));
  }
  for (const path of ["/", "/run"]) chown(path, Number(uid), Number(gid));
  setIds(Number(uid), Number(gid));
  const times = ["--start-time-us", "1", "--start-time-cpu-us", "1", "--parent-cpu-time-us", "1"];
  const words = [`/${name}`, "--id", id, ...times, ...forwarded];
  const failure = execve(`/${name}`, words, [`KATA_STAND_IN_MOUNTS=${MOUNTS_DESCRIPTOR}`]);
  return refuse(`Failed to exec into Firecracker: errno ${-failure}`);
}

/** From here on the jail is the root. */
function enterJail(root: string): void {
  {
    using mounts = open("/proc/self/ns/mnt", O_RDONLY);
    duplicateTo(mounts.fd, MOUNTS_DESCRIPTOR);
  }
  closeFrom(MOUNTS_DESCRIPTOR + 1);
  unshare(CLONE_NEWNS);
  mount(null, "/", null, MS_SLAVE | MS_REC);
  mount(root, root, null, MS_BIND | MS_REC);
  chdir(root);
  mkdirAll(`${root}/old_root`);
  pivotRoot(".", "old_root");
  chdir("/");
  umount2("old_root", MNT_DETACH);
  rmdirIfExists("/old_root");
  chroot(".");
  for (const directory of ["/dev/net", "/run"]) mkdirAll(directory, 0o700);
}

function readOptions(words: readonly string[]): Map<string, string> {
  const options = new Map<string, string>();
  for (let at = 0; at < words.length; at += 2) {
    const [word = "", value] = words.slice(at, at + 2);
    if (!OPTIONS.includes(word))
      refuse(`Found argument '${word}' which wasn't expected, or isn't valid in this context.`);
    if (value === undefined) refuse(`The argument '${word}' requires a value, but none was supplied.`);
    options.set(word, value);
  }
  return options;
}

function refuse(why: string): never {
  writeSync(2, `Jailer error: ${why}\n`);
  return exit(1);
}

runProgram(main);
