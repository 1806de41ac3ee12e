/** What a test needs to open a sandbox: a guest that was built before, a configuration, a root filesystem, a specification. */
import { type Configuration, defaultConfiguration } from "../../config/index.ts";
import { KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  chmod,
  exists,
  mkdirAll,
  readDirectory,
  readFile,
  readTextFile,
  readTextFileIfExists,
  removeTree,
  symlink,
  writeFile,
} from "../../sys/files.ts";
import { getcwd, getpid, ignoreSignal, SIGPIPE } from "../../sys/process.ts";
import { environment } from "../../sys/program.ts";
import { test } from "../../sys/testing/native-test.ts";
import type { Logger, Sandbox } from "../types.ts";

/** Where `npm run image` writes; another directory with the same files by `KATA_TEST_IMAGE`. */
const IMAGE = environment.KATA_TEST_IMAGE ?? "build/image";
/** Debian's busybox-static. */
const BUSYBOX = "/bin/busybox";
const APPLETS = [
  "sh",
  "cat",
  "echo",
  "sleep",
  "true",
  "uname",
  "head",
  "wc",
  "ls",
  "ip",
  "ping",
  "mount",
  "kill",
  "id",
  "stty",
  "touch",
  "dd",
  "md5sum",
  "hostname",
  "nslookup",
  "test",
  "seq",
];
const GUEST_MEMORY_MIB = 256;
const CLEAN_DEADLINE_MS = 5000;

/** The configuration of a small guest. @param changes of the hypervisor's section. */
export function testConfiguration(changes: Partial<Configuration["hypervisor"]> = {}): Configuration {
  const configuration = defaultConfiguration("qemu");
  return {
    ...configuration,
    hypervisor: {
      ...configuration.hypervisor,
      path: "/usr/bin/qemu-system-x86_64",
      kernel: imageFile(guestKernel()),
      initrd: imageFile("initrd"),
      image: "",
      default_vcpus: 1,
      default_memory: GUEST_MEMORY_MIB,
      ...changes,
    },
    factory: { ...configuration.factory, template_path: imageFile("../templates") },
  };
}

function imageFile(name: string): string {
  const path = `${IMAGE}/${name}`;
  return path.startsWith("/") ? path : `${getcwd()}/${path}`;
}

/** The kernel as an ELF file starts at once; only x86 has it. */
function guestKernel(): string {
  return exists(imageFile("vmlinux")) ? "vmlinux" : "vmlinuz";
}

/** A machine boots in seconds under emulation, and in many on a busy host, ms. */
const VM_TEST_DEADLINE_MS = 90_000;

/** A test that boots a machine. */
export function vmTest(name: string, body: () => Promise<void>): void {
  test(name, body, VM_TEST_DEADLINE_MS);
}

// As the programs that run sandboxes do: a machine that is gone is an error of the write.
ignoreSignal(SIGPIPE);

let made = 0;

export interface TestPlace extends Disposable {
  readonly path: string;
  /** A root filesystem with busybox. */
  readonly rootfs: string;
}

/** A directory with a root filesystem, removed at the end of the scope. */
export function testPlace(): TestPlace {
  const path = `/tmp/kata-sandbox-test.${getpid()}.${made++}`;
  const rootfs = `${path}/rootfs`;
  for (const name of ["bin", "etc", "proc", "sys", "dev", "tmp"]) mkdirAll(`${rootfs}/${name}`);
  writeFile(`${rootfs}/bin/busybox`, readFile(BUSYBOX), 0o755);
  chmod(`${rootfs}/bin/busybox`, 0o755);
  for (const applet of APPLETS) symlink("busybox", `${rootfs}/bin/${applet}`);
  writeFile(`${rootfs}/etc/passwd`, "root:x:0:0:root:/:/bin/sh\n", 0o644);
  return {
    path,
    rootfs,
    [Symbol.dispose]() {
      removeTree(path);
    },
  };
}

/** An id that no other test has. */
export function testId(): string {
  return `kata-test-${getpid()}-${made++}`;
}

const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
];

/** A container as containerd describes one. @param changes of its top level. */
export function testSpec(rootfs: string, args: readonly string[], changes: Partial<Spec> = {}): Spec {
  return {
    ociVersion: "1.1.0",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [...args],
      env: ["PATH=/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      noNewPrivileges: true,
    },
    root: { path: rootfs, readonly: false },
    hostname: "box",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      {
        destination: "/dev/shm",
        type: "tmpfs",
        source: "shm",
        options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
      },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      {
        destination: "/sys/fs/cgroup",
        type: "cgroup",
        source: "cgroup",
        options: ["ro", "nosuid", "noexec", "nodev"],
      },
    ],
    linux: {
      cgroupsPath: `/kata-test-${made++}`,
      namespaces: [{ type: "pid" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }, { type: "network" }],
    },
    ...changes,
  };
}

/** Keeps what is logged, and prints it if `KATA_TEST_LOG` is set. */
export class TestLogger implements Logger {
  readonly lines: string[] = [];

  debug(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#keep("debug", message, fields);
  }
  info(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#keep("info", message, fields);
  }
  warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#keep("warn", message, fields);
  }
  error(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#keep("error", message, fields);
  }

  #keep(level: string, message: string, fields: Readonly<Record<string, unknown>>): void {
    const line = `${level} ${message} ${JSON.stringify(fields)}`;
    this.lines.push(line);
  }

  /** Lines of `level`. */
  of(level: string): string[] {
    return this.lines.filter((line) => line.startsWith(`${level} `));
  }
}

/** All that a process writes to one of its streams. */
export async function readAll(
  sandbox: Sandbox,
  containerId: string,
  execId = "",
  stream: "stdout" | "stderr" = "stdout",
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const part = await sandbox.readOutput({ containerId, execId }, stream, 32 << 10);
    if (part.length === 0) break;
    parts.push(part);
  }
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** What sandbox `id` has on the host now: directories, mounts, cgroups, processes. */
export function tracesOf(id: string): string[] {
  const directories = [`/run/kata/${id}`, `/run/kata-containers/shared/sandboxes/${id}`].filter((path) =>
    exists(path),
  );
  const mounts = readTextFile("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => line.includes(id));
  const cgroups = readDirectory("/sys/fs/cgroup")
    .map(({ name }) => `/sys/fs/cgroup/${name}/kata_overhead/${id}`)
    .filter((path) => exists(path));
  const processes = readDirectory("/proc")
    .filter(({ name }) => /^\d+$/.test(name) && commandLineOf(name).includes(id))
    .map(({ name }) => `process ${name}: ${commandLineOf(name)}`);
  return [...directories, ...mounts, ...cgroups, ...processes];
}

function commandLineOf(pid: string): string {
  if (Number(pid) === getpid()) return "";
  return (readTextFileIfExists(`/proc/${pid}/cmdline`) ?? "").replaceAll("\0", " ");
}

/** Waits until sandbox `id` has left no trace. @throws KataError that names what is left after 5 s. */
export async function expectNoTraces(id: string): Promise<void> {
  const end = loop.now() + CLEAN_DEADLINE_MS;
  for (;;) {
    const traces = tracesOf(id);
    if (traces.length === 0) return;
    if (loop.now() > end) {
      throw new KataError("deadline-exceeded", {
        operation: "wait for a clean host",
        object: traces.join("; "),
      });
    }
    await sleep(loop, 20);
  }
}
