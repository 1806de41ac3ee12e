/**
 * A machine for one container engine, made of namespaces: its packages lie over /usr and /etc as if they were installed, /run is empty,
 * and it has a network of its own, so that bridges and packet filters are nobody else's. The end of the scope ends everything in it
 * and removes what it made.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type CommandOptions, type CommandResult, runCommand } from "./command.ts";
import { eventually } from "./eventually.ts";
import { kataConfiguration } from "./kata-configuration.ts";

/** Every such machine has a directory with this beginning; short, because sockets lie in it. */
const PREFIX = "/tmp/ke-";
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
/** A machine boots under emulation meanwhile, ms. */
const DEADLINE_MS = 180_000;
const END_DEADLINE_MS = 20_000;
/** Where engines make groups of their own, which stay empty behind them. */
const ENGINE_CGROUPS = ["docker", "libpod_parent"];

const SET_UP = `
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns
mount -t overlay overlay -o "lowerdir=$PACKAGES/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$PACKAGES/etc:/etc,upperdir=$DIRECTORY/etc,workdir=$DIRECTORY/work" /etc
ip link set lo up
echo ready
exec sleep infinity
`;

export class EngineHost implements AsyncDisposable {
  readonly directory: string;
  readonly #holder: ChildProcess;
  readonly #daemons: ChildProcess[] = [];

  private constructor(directory: string, holder: ChildProcess) {
    this.directory = directory;
    this.#holder = holder;
  }

  /** @param packages the directory of unpacked packages. @param files of /etc, by their names there. */
  static async start(
    packages: string,
    files: (directory: string) => Readonly<Record<string, string>>,
  ): Promise<EngineHost> {
    const directory = mkdtempSync(PREFIX);
    for (const name of ["etc", "work"]) mkdirSync(join(directory, name));
    const all = { "kata-containers/configuration.toml": kataConfiguration(), ...files(directory) };
    for (const [name, text] of Object.entries(all)) {
      const path = join(directory, "etc", name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    const holder = spawn("unshare", ["--mount", "--net", "sh", "-ec", SET_UP], {
      env: { PATH, PACKAGES: packages, DIRECTORY: directory },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const host = new EngineHost(directory, holder);
    try {
      await new Promise<void>((resolve, reject) => {
        holder.stdout?.once("data", () => {
          // Nothing else comes, and it is not to be waited for.
          holder.stdout?.destroy();
          resolve();
        });
        holder.once("exit", (code) =>
          reject(new Error(`set up a machine for an engine: exit status ${code}`)),
        );
      });
      return host;
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A command line that runs there. */
  words(command: string, args: readonly string[]): string[] {
    const enter = ["nsenter", `--target=${this.#holder.pid}`, "--mount", "--net"];
    // The working directory that they come with is one of the other mount namespace.
    return [...enter, "sh", "-c", 'cd / && exec "$@"', "sh", command, ...args];
  }

  get environment(): NodeJS.ProcessEnv {
    return { PATH, HOME: this.directory };
  }

  /** Runs a command there to its end, whatever its exit status. */
  run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const [first = "", ...rest] = this.words(command, args);
    return runCommand(first, rest, { deadlineMs: DEADLINE_MS, env: this.environment, ...options });
  }

  /** As {@link run}, for what must succeed. @returns its stdout. */
  async must(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(command, args, options);
    if (status === 0) return stdout;
    throw new Error(`${command} ${args.join(" ")}: exit status ${status}\n${stdout}${stderr}`);
  }

  /** What a web server tells, asked from there. */
  async page(address: string, port: number): Promise<string> {
    const ask = 'exec 3<>"/dev/tcp/$0/$1" && printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3 && cat <&3';
    const answer = await this.must("bash", ["-c", ask, address, `${port}`], { deadlineMs: 20_000 });
    return answer.slice(answer.indexOf("\r\n\r\n") + 4);
  }

  /** Starts a program that stays, and waits until its socket is there. */
  async startDaemon(
    command: string,
    args: readonly string[],
    socket: string,
    env: NodeJS.ProcessEnv = {},
  ): Promise<void> {
    const log = join(this.directory, `${command}.log`);
    const [first = "", ...rest] = this.words("sh", ["-c", `exec "$@" > ${log} 2>&1`, "sh", command, ...args]);
    const daemon = spawn(first, rest, { env: { ...this.environment, ...env }, stdio: "ignore" });
    this.#daemons.push(daemon);
    await eventually(
      `socket of ${command}`,
      END_DEADLINE_MS,
      () => (existsSync(socket) ? true : undefined),
      () => readFileSync(log, "utf8").slice(-2000),
    );
  }

  /** Ends what still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons.reverse()) await ended(daemon, "SIGTERM");
    for (const pid of this.#members()) process.kill(pid, "SIGKILL");
    await ended(this.#holder, "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
    for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
      for (const name of ENGINE_CGROUPS) removeEmptyGroups(join("/sys/fs/cgroup", hierarchy, name));
    }
  }

  /** Programs that are still in its mount namespace, or belong to a directory of it. */
  get leftBehind(): readonly string[] {
    return this.#members().map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "));
  }

  #members(): number[] {
    const pid = this.#holder.pid ?? 0;
    const own = namespaceOf(pid);
    if (own === undefined) return [];
    const pids = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
    return pids.filter((each) => each !== pid && namespaceOf(each) === own);
  }
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // It has ended, or belongs to somebody whom even root may not look at.
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES") return undefined;
    throw error;
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const end = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  const force = setTimeout(() => child.kill("SIGKILL"), END_DEADLINE_MS);
  await end.finally(() => clearTimeout(force));
}

/** From the deepest on; a group that somebody is in stays. */
function removeEmptyGroups(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyGroups(join(directory, entry.name));
  }
  try {
    rmdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
  }
}
