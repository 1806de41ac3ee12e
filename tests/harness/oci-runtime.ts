/**
 * The OCI command line under test, `kata-runtime` or the reference `runc`, on bundles of its own below a root of its own. The end of
 * its scope removes all containers, so that only what the runtime itself leaves behind is left.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CommandOptions, type CommandResult, mustRun, runCommand } from "./command.ts";
import { writeBusyboxRoot } from "./images.ts";
import { BUILT_PROGRAMS, writeKataConfiguration } from "./kata-configuration.ts";
import { INSTANCE_VARIABLE } from "./private-containerd.ts";
import { subject } from "./subject.ts";
import type { Workbench } from "./workbench.ts";

/** A boot under emulation, on a busy host, ms. */
const DEADLINE_MS = 120_000;

/** For a web server, and the loopback of a network that is new. */
const CAPABILITIES = ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_SETUID", "CAP_SETGID"];

export interface RuntimeState {
  readonly id: string;
  readonly status: string;
  readonly pid: number;
  readonly bundle: string;
}

/** What of `config.json` a test changes. */
export interface BundleChanges {
  readonly terminal?: boolean;
  readonly mounts?: readonly object[];
  readonly hooks?: object;
  /** A network namespace to join. */
  readonly network?: string;
}

export class OciRuntime implements AsyncDisposable {
  readonly command: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #bench: Workbench;
  readonly #root: string;
  readonly #rootfs: string;

  private constructor(bench: Workbench, env: NodeJS.ProcessEnv) {
    this.command = subject.virtualMachine ? join(BUILT_PROGRAMS, "kata-runtime") : "runc";
    this.env = env;
    this.#bench = bench;
    this.#root = join(bench.scratch, "r");
    this.#rootfs = join(bench.scratch, "rootfs");
  }

  static async on(bench: Workbench): Promise<OciRuntime> {
    const env = {
      ...process.env,
      PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
      KATA_CONF_FILE: writeKataConfiguration(bench.scratch, "configuration"),
      [INSTANCE_VARIABLE]: bench.ctr.instance.tag,
    };
    const runtime = new OciRuntime(bench, env);
    await writeBusyboxRoot(runtime.#rootfs);
    return runtime;
  }

  /** All words of a call. */
  words(...args: readonly string[]): string[] {
    return ["--root", this.#root, ...args];
  }

  /** Runs a command to its end, whatever its exit status. */
  call(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(this.command, this.words(...args), {
      deadlineMs: DEADLINE_MS,
      env: this.env,
      ...options,
    });
  }

  /** As {@link call}, for what must succeed. @returns its stdout. */
  must(...args: readonly string[]): Promise<string> {
    return mustRun(this.command, this.words(...args), { deadlineMs: DEADLINE_MS, env: this.env });
  }

  async state(id: string): Promise<RuntimeState> {
    return JSON.parse(await this.must("state", id));
  }

  /** A bundle with a shell script as its program. @returns the container's id, which is the bundle's name. */
  bundle(script: string, changes: BundleChanges = {}): { readonly id: string; readonly directory: string } {
    const id = this.#bench.newId();
    const directory = join(this.#bench.scratch, id);
    mkdirSync(directory);
    writeFileSync(join(directory, "config.json"), JSON.stringify(this.#spec(script, changes)));
    return { id, directory };
  }

  /** Creates a detached container without terminal; what it writes goes to the file that is returned. */
  async create(
    id: string,
    directory: string,
  ): Promise<{ readonly pid: number; readonly output: () => string }> {
    const [log, pidFile] = [join(directory, "output"), join(directory, "pid")];
    const words = this.words("create", "--bundle", directory, "--pid-file", pidFile, id);
    // The container keeps the streams: pipes of a test's would be waited for until its end.
    const line = [this.command, ...words].map((word) => `'${word}'`).join(" ");
    await mustRun("sh", ["-c", `exec ${line} < /dev/null > '${log}' 2>&1`], {
      deadlineMs: DEADLINE_MS,
      env: this.env,
    }).catch((error: unknown) => {
      throw new Error(readFileSync(log, "utf8"), { cause: error });
    });
    return { pid: Number(readFileSync(pidFile, "utf8")), output: () => readFileSync(log, "utf8") };
  }

  #spec(script: string, { terminal = false, mounts = [], hooks, network }: BundleChanges): object {
    return {
      ociVersion: "1.0.2",
      process: {
        terminal,
        user: { uid: 0, gid: 0 },
        args: ["sh", "-c", script],
        env: ["PATH=/bin", "A=1"],
        cwd: "/",
        capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      },
      root: { path: this.#rootfs },
      hostname: "bundle",
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
        {
          destination: "/dev/pts",
          type: "devpts",
          source: "devpts",
          options: ["newinstance", "ptmxmode=0666"],
        },
        ...mounts,
      ],
      ...(hooks === undefined ? {} : { hooks }),
      linux: {
        namespaces: [
          { type: "pid" },
          { type: "network", ...(network === undefined ? {} : { path: network }) },
          { type: "ipc" },
          { type: "uts" },
          { type: "mount" },
        ],
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const listed: readonly RuntimeState[] | null = JSON.parse(await this.must("list", "--format", "json"));
    for (const { id } of [...(listed ?? [])].reverse()) await this.must("delete", "--force", id);
  }
}
