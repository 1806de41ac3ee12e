/** containerd's own command line client, pointed at one private instance. */
import { join } from "node:path";
import {
  type CommandOptions,
  type CommandResult,
  type LiveCommand,
  mustRun,
  runCommand,
  startCommand,
} from "./command.ts";
import type { InstanceAddress } from "./private-containerd.ts";
import { imageFlags } from "./remote-hypervisor.ts";
import { startInTerminal, type Terminal } from "./terminal.ts";

/** A container to run. */
export interface ContainerRequest {
  readonly id: string;
  readonly image: string;
  readonly runtime: string;
  readonly command: readonly string[];
  /** Flags of `ctr run`, before the image. */
  readonly flags?: readonly string[];
}

/** Killing and deleting take a second, and longer on a busy machine; what takes longer is stuck, ms. */
const REMOVAL_DEADLINE_MS = 30_000;

export class Ctr {
  readonly instance: InstanceAddress;
  readonly #namespace: string;

  /** @param namespace of containerd; without it the instance's own. */
  constructor(instance: InstanceAddress, namespace = instance.tag) {
    this.instance = instance;
    this.#namespace = namespace;
  }

  /** The same client in another namespace of containerd. */
  in(namespace: string): Ctr {
    return new Ctr(this.instance, namespace);
  }

  /** Runs `ctr ARGS` to its end. */
  call(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(this.#program, this.#arguments(args), {
      ...options,
      env: this.#environment(options.env),
    });
  }

  /** As {@link call}; @throws Error unless it exits with 0. @returns its stdout. */
  must(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return mustRun(this.#program, this.#arguments(args), { ...options, env: this.#environment(options.env) });
  }

  /** Starts `ctr ARGS` with pipes. */
  start(args: readonly string[]): LiveCommand {
    return startCommand(this.#program, this.#arguments(args), { env: this.#environment() });
  }

  /** Starts `ctr ARGS` on a terminal of that size. */
  startInTerminal(
    args: readonly string[],
    size: { readonly rows: number; readonly columns: number },
  ): Promise<Terminal> {
    return startInTerminal([this.#program, ...this.#arguments(args)], size, this.#environment());
  }

  /** `ctr run --rm` to the container's end. */
  runContainer(request: ContainerRequest, options: CommandOptions = {}): Promise<CommandResult> {
    return this.call(runArguments(this.instance, request, ["--rm"]), options);
  }

  /** `ctr run --rm --config FILE`: the specification as it is, with the root directory that it names. */
  runFromSpec(id: string, runtime: string, config: string): Promise<CommandResult> {
    const { directory } = this.instance;
    return this.call([
      "run",
      "--rm",
      "--runtime",
      runtime,
      ...places(directory, runtime),
      "--config",
      config,
      id,
    ]);
  }

  /** `ctr run --rm`, alive. */
  startContainer(request: ContainerRequest): LiveCommand {
    return this.start(runArguments(this.instance, request, ["--rm"]));
  }

  /** `ctr run --detach`; returns when the container runs. */
  async runDetached(request: ContainerRequest): Promise<void> {
    await this.must(runArguments(this.instance, request, ["--detach"]));
  }

  /** The state of `id`'s task as `ctr task ls` shows it, or undefined if it has none. */
  async taskState(id: string): Promise<{ readonly pid: number; readonly state: string } | undefined> {
    for (const line of (await this.must(["task", "ls"])).split("\n").slice(1)) {
      const [name, pid, state] = line.trim().split(/\s+/);
      if (name === id && state !== undefined) return { pid: Number(pid), state };
    }
    return undefined;
  }

  /** `ctr task delete` of a stopped container. @returns the container's exit status, which ctr tells in a warning. */
  async deleteTask(id: string): Promise<number> {
    const { status, stderr } = await this.call(["task", "delete", id]);
    const told = /non-zero exit code (\d+)/.exec(stderr);
    if (status !== 0) throw new Error(`ctr task delete ${id}: exit status ${status}\n${stderr}`);
    return Number(told?.[1] ?? 0);
  }

  /** Kills `id` if it runs and removes task, container and snapshot. Errors are told by what is left, not here. */
  async remove(id: string): Promise<void> {
    const options = { deadlineMs: REMOVAL_DEADLINE_MS };
    await this.call(["task", "kill", "--signal", "SIGKILL", id], options);
    await this.call(["task", "delete", "--force", id], options);
    await this.call(["containers", "delete", id], options);
  }

  /** Removes every container of the instance. */
  async removeEverything(): Promise<void> {
    const listed = await this.call(["containers", "ls", "--quiet"]);
    const tasks = await this.call(["task", "ls", "--quiet"]);
    const ids = new Set(
      [...listed.stdout.split("\n"), ...tasks.stdout.split("\n")].filter((id) => id !== ""),
    );
    for (const id of ids) await this.remove(id);
  }

  /** Flags that `ctr task exec` needs, before its own. */
  execArguments(id: string, execId: string, flags: readonly string[], command: readonly string[]): string[] {
    const fifos = join(this.instance.directory, "fifo");
    return ["task", "exec", "--fifo-dir", fifos, "--exec-id", execId, ...flags, id, ...command];
  }

  get #program(): string {
    return this.instance.binaries === undefined ? "ctr" : join(this.instance.binaries, "ctr");
  }

  #arguments(args: readonly string[]): string[] {
    return ["--address", this.instance.socket, "--namespace", this.#namespace, ...args];
  }

  #environment(own: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
    return { ...own, CONTAINERD_SNAPSHOTTER: this.instance.snapshotter };
  }
}

/** The arguments of `ctr run` for `request`. */
export function runArguments(
  instance: InstanceAddress,
  request: ContainerRequest,
  mode: readonly string[],
): string[] {
  const { id, image, runtime, command, flags = [] } = request;
  const where = places(instance.directory, runtime);
  return [
    "run",
    "--runtime",
    runtime,
    ...mode,
    ...where,
    ...imageFlags(image),
    ...flags,
    image,
    id,
    ...command,
  ];
}

/** Flags that keep an instance's files in its directory. */
function places(directory: string, runtime: string): string[] {
  const fifos = ["--fifo-dir", join(directory, "fifo")];
  // runc's state would otherwise lie where a system containerd has its own.
  return runtime.includes(".runc.") ? [...fifos, "--runc-root", join(directory, "runc")] : fifos;
}
