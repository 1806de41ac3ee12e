/**
 * An unmodified containerd of our own, beside whatever else runs on the machine: root, state, socket and FIFOs lie in one
 * directory below /tmp, whose name is also its namespace, so that everything it makes can be recognised.
 *
 * Not private are the directory of shim sockets, /run/containerd/s, which containerd fixes (the names in it are hashes of
 * the daemon's address), and the kernel's cgroups, where the namespace is the first part of the path.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { basename, join } from "node:path";
import { type InstanceRecord, RECORD_FILE, removeInstance } from "./abandoned-containerd.ts";
import { exitStatus } from "./command.ts";
import { Ctr } from "./ctr.ts";
import { eventually } from "./eventually.ts";
import { readProcess } from "./processes.ts";

/** Every instance lives in a directory with this beginning; short, because sockets lie in it (106 bytes at most). */
export const INSTANCE_PREFIX = "/tmp/kc-";

/** In the environment of the daemon and so of every shim it starts: which instance they belong to. */
export const INSTANCE_VARIABLE = "KATA_TEST_INSTANCE";

/** Kubernetes' interface, under the names that 1.x and 2.x have for it. */
const CRI_PLUGINS = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
];

const START_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 15_000;

export interface PrivateContainerdOptions {
  /** Directory of `containerd`, `ctr` and its shims; without it they come from PATH. */
  readonly binaries?: string;
  /** Searched for shims before anything else, such as the project's build/bin. */
  readonly searchFirst?: readonly string[];
  /** Added to the daemon's environment, and so to its shims'; may write files into the instance's directory. */
  readonly env?: (directory: string) => Readonly<Record<string, string>>;
  /** Shell commands that change the mounts which the daemon and its shims see; no one else does. */
  readonly privateMounts?: string;
  readonly logLevel?: "info" | "debug";
  /** Kubernetes' interface, which is off otherwise: its tables of the configuration, for an instance in this directory. */
  readonly cri?: (directory: string) => string;
  /** Snapshotters besides the usual two, each with the lines of its table; the first is what images are unpacked with. */
  readonly snapshotters?: (directory: string) => Readonly<Record<string, readonly string[]>>;
  /** Snapshotters that are programs of their own: where each listens. */
  readonly proxySnapshotters?: (directory: string) => Readonly<Record<string, string>>;
  /** Programs that unpack images, tried in this order and none besides: where each listens. */
  readonly proxyDiffers?: (directory: string) => Readonly<Record<string, string>>;
  /** Where it listens, if not in its own directory. */
  readonly socket?: string;
}

/** What other processes need to use an instance. */
export interface InstanceAddress {
  /** Name of its directory, its namespace, and the beginning of its containers' names. */
  readonly tag: string;
  readonly directory: string;
  readonly socket: string;
  readonly binaries: string | undefined;
  readonly snapshotter: string;
}

/** A running instance; the end of its scope kills its containers, stops it and removes all it made. */
export class PrivateContainerd implements AsyncDisposable {
  readonly address: InstanceAddress;
  readonly #options: PrivateContainerdOptions;
  #child: ChildProcess;
  #end: Promise<void> | undefined;

  private constructor(address: InstanceAddress, options: PrivateContainerdOptions, child: ChildProcess) {
    this.address = address;
    this.#options = options;
    this.#child = child;
  }

  /** Starts an instance and waits until it answers. @throws Error with the end of its log if it does not. */
  static async start(options: PrivateContainerdOptions = {}): Promise<PrivateContainerd> {
    const directory = mkdtempSync(INSTANCE_PREFIX);
    mkdirSync(join(directory, "fifo"));
    const socket = options.socket ?? join(directory, "c.sock");
    const plain = {
      tag: basename(directory),
      directory,
      socket,
      binaries: options.binaries,
      snapshotter: "native",
    };
    try {
      const child = await startDaemon(plain, options);
      const [wanted] = Object.keys(options.snapshotters?.(directory) ?? {});
      const address = { ...plain, snapshotter: wanted ?? (await chooseSnapshotter(plain)) };
      return new PrivateContainerd(address, options, child);
    } catch (error) {
      const log = logTail(directory);
      await removeInstance(directory);
      throw new Error(`private containerd in ${directory} did not start\n${log}`, { cause: error });
    }
  }

  /** Ends the daemon and starts it again; shims and containers go on meanwhile. */
  async restart(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    await this.#endDaemon(signal);
    this.#child = await startDaemon(this.address, this.#options);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error("containerd has no pid");
    return this.#child.pid;
  }

  get ctr(): Ctr {
    return new Ctr(this.address);
  }

  /** What it and its shims wrote to stderr so far. */
  get log(): string {
    return readFileSync(join(this.address.directory, "log"), "utf8");
  }

  /** May be called again while it is under way, as by a signal handler: the end is one. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#end ??= this.#endAll();
    return this.#end;
  }

  async #endAll(): Promise<void> {
    // What a container that cannot be removed holds is taken from it.
    try {
      await this.ctr.removeEverything();
    } finally {
      await this.#endDaemon().finally(() => removeInstance(this.address.directory));
    }
  }

  async #endDaemon(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = exitStatus(this.#child);
    this.#child.kill(signal);
    const force = setTimeout(() => this.#child.kill("SIGKILL"), STOP_DEADLINE_MS);
    await ended.finally(() => clearTimeout(force));
  }
}

/** Starts the daemon and waits until it answers. */
async function startDaemon(
  address: InstanceAddress,
  options: PrivateContainerdOptions,
): Promise<ChildProcess> {
  const { directory, socket } = address;
  const child = spawnDaemon(directory, socket, options);
  let endedWith: number | undefined;
  child.once("error", () => {
    endedWith = 127;
  });
  child.once("exit", (status) => {
    endedWith = status ?? 128;
  });
  await once(child, "spawn");
  writeRecord(address, child);
  await eventually("containerd answers", START_DEADLINE_MS, async () => {
    if (endedWith !== undefined) throw new Error(`containerd ended with status ${endedWith}`);
    return (await canConnect(socket)) || undefined;
  });
  return child;
}

function spawnDaemon(directory: string, socket: string, options: PrivateContainerdOptions): ChildProcess {
  const config = join(directory, "config.toml");
  writeFileSync(config, daemonConfiguration(directory, socket, options));
  const search = [
    ...(options.searchFirst ?? []),
    ...(options.binaries === undefined ? [] : [options.binaries]),
  ];
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: [...search, process.env.PATH ?? "", "/usr/local/sbin:/usr/sbin:/sbin"].join(":"),
    ...options.env?.(directory),
    [INSTANCE_VARIABLE]: basename(directory),
  };
  delete env.NOTIFY_SOCKET;
  const program = options.binaries === undefined ? "containerd" : join(options.binaries, "containerd");
  const daemon = [program, "--config", config];
  const [command = program, ...args] =
    options.privateMounts === undefined
      ? daemon
      : ["unshare", "--mount", "sh", "-ec", `${options.privateMounts}\nexec "$@"`, "sh", ...daemon];
  const log = openSync(join(directory, "log"), "a");
  try {
    return spawn(command, args, { env, cwd: directory, stdio: ["ignore", log, log], detached: true });
  } finally {
    closeSync(log);
  }
}

const SNAPSHOTTER = "io.containerd.snapshotter.v1.";

/** Only what containers need; the plugins left out would touch places outside the directory. Version 2 suits all of 1.6 to 2.x. */
function daemonConfiguration(directory: string, socket: string, options: PrivateContainerdOptions): string {
  const { logLevel = "info", cri } = options;
  const snapshotters = Object.entries(options.snapshotters?.(directory) ?? {});
  const differs = Object.entries(options.proxyDiffers?.(directory) ?? {});
  const isWanted = (plugin: string) => snapshotters.some(([name]) => plugin === `${SNAPSHOTTER}${name}`);
  const disabled = [
    ...(cri === undefined ? CRI_PLUGINS : []),
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
  ].filter((plugin) => !isWanted(plugin));
  return [
    "version = 2",
    `root = "${directory}/root"`,
    `state = "${directory}/state"`,
    `disabled_plugins = ${JSON.stringify(disabled)}`,
    "[debug]",
    `level = "${logLevel}"`,
    "[grpc]",
    `address = "${socket}"`,
    ...snapshotters.flatMap(([name, lines]) => [`[plugins."${SNAPSHOTTER}${name}"]`, ...lines]),
    ...Object.entries(options.proxySnapshotters?.(directory) ?? {}).flatMap(([name, address]) => [
      `[proxy_plugins.${name}]`,
      'type = "snapshot"',
      `address = "${address}"`,
    ]),
    ...differs.flatMap(([name, address]) => [
      `[proxy_plugins.${name}]`,
      'type = "diff"',
      `address = "${address}"`,
    ]),
    ...(differs.length === 0
      ? []
      : [
          '[plugins."io.containerd.service.v1.diff-service"]',
          `default = ${JSON.stringify(differs.map(([name]) => name))}`,
        ]),
    cri?.(directory) ?? "",
  ].join("\n");
}

/** Tells a later run who may stop this instance: nobody, as long as the process that started it lives. */
function writeRecord(address: InstanceAddress, daemon: ChildProcess): void {
  const owner = readProcess(process.pid);
  const started = daemon.pid === undefined ? undefined : readProcess(daemon.pid);
  if (owner === undefined || started === undefined) throw new Error("containerd could not be started");
  const identity = ({ pid, startedAt }: { pid: number; startedAt: number }) => ({ pid, startedAt });
  const record: InstanceRecord = { owner: identity(owner), daemon: identity(started), address };
  writeFileSync(join(address.directory, RECORD_FILE), JSON.stringify(record));
}

function canConnect(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once("connect", () => connection.end(() => resolve(true)));
    connection.once("error", () => resolve(false));
  });
}

/** Overlayfs where the file system allows it, otherwise plain copies. */
async function chooseSnapshotter(address: InstanceAddress): Promise<string> {
  const plugins = await new Ctr(address).must(["plugins", "ls"]);
  return /^io\.containerd\.snapshotter\.v1\s+overlayfs\s.*\bok\s*$/m.test(plugins) ? "overlayfs" : "native";
}

function logTail(directory: string): string {
  const path = join(directory, "log");
  return existsSync(path) ? readFileSync(path, "utf8").slice(-3000) : "";
}
