/** Where the demo plays: a containerd of its own with two images, a directory on the host, and a narrator. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CommandOptions, CommandResult } from "../../tests/harness/command.ts";
import { type ContainerRequest, Ctr } from "../../tests/harness/ctr.ts";
import { expectHostClean, type HostSnapshot, takeHostSnapshot } from "../../tests/harness/host-snapshot.ts";
import { type Image, importImage } from "../../tests/harness/images.ts";
import type { PrivateContainerd } from "../../tests/harness/private-containerd.ts";
import type { Narrator } from "./narrator.ts";

export class Stage {
  readonly ctr: Ctr;
  readonly narrator: Narrator;
  readonly debian: string;
  readonly busybox: string;
  /** Runtime of containers that are not trusted: the one to show. */
  readonly untrusted: string;
  /** A host directory that containers are given. */
  readonly hostDirectory: string;
  readonly #before: HostSnapshot;
  readonly #ids: string[] = [];
  #execs = 0;

  private constructor(
    containerd: PrivateContainerd,
    narrator: Narrator,
    images: { readonly debian: Image; readonly busybox: Image },
    untrusted: string,
    before: HostSnapshot,
  ) {
    this.ctr = new Ctr(containerd.address);
    this.narrator = narrator;
    this.debian = images.debian.name;
    this.busybox = images.busybox.name;
    this.untrusted = untrusted;
    this.hostDirectory = join(containerd.address.directory, "shared");
    this.#before = before;
    mkdirSync(this.hostDirectory);
  }

  static async open(
    containerd: PrivateContainerd,
    narrator: Narrator,
    images: { readonly debian: Image; readonly busybox: Image },
    untrusted: string,
  ): Promise<Stage> {
    for (const image of [images.busybox, images.debian]) await importImage(containerd.ctr, image);
    const before = await takeHostSnapshot(containerd.address);
    return new Stage(containerd, narrator, images, untrusted, before);
  }

  /** A request for a container with that name, made unmistakable. */
  request(
    name: string,
    image: string,
    command: readonly string[],
    more: { readonly runtime?: string; readonly flags?: readonly string[] } = {},
  ): ContainerRequest {
    const id = `${this.ctr.instance.tag}-${name}`;
    this.#ids.push(id);
    return { id, image, command, runtime: more.runtime ?? this.untrusted, flags: more.flags ?? [] };
  }

  /** Shows and runs `ctr run --rm`, and shows what came of it. */
  async run(request: ContainerRequest, options: CommandOptions = {}): Promise<CommandResult> {
    this.showRun(request, "--rm");
    const result = await this.ctr.runContainer(request, options);
    this.show(result);
    return result;
  }

  /** Shows and starts a container that goes on by itself. */
  async detach(request: ContainerRequest): Promise<void> {
    this.showRun(request, "--detach");
    const started = performance.now();
    await this.ctr.runDetached(request);
    this.narrator.took("started in", performance.now() - started);
  }

  /** Shows and runs `ctr task exec`. */
  async exec(id: string, command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const execId = `exec-${++this.#execs}`;
    this.narrator.command(["ctr", "task", "exec", "--exec-id", execId, id, ...command]);
    const result = await this.ctr.call(this.ctr.execArguments(id, execId, [], command), options);
    this.show(result);
    return result;
  }

  showRun({ id, image, runtime, command, flags = [] }: ContainerRequest, mode: string): void {
    this.narrator.command(["ctr", "run", mode, "--runtime", runtime, ...flags, image, id, ...command]);
  }

  show({ stdout, stderr, status, ms }: CommandResult): void {
    if (stdout !== "") this.narrator.output(stdout);
    if (stderr !== "") this.narrator.output(stderr);
    this.narrator.took(`exit status ${status}, took`, ms);
  }

  /** Ends all containers and demands that nothing of them is left on the host. */
  async expectClean(): Promise<void> {
    await this.ctr.removeEverything();
    const options = { containers: this.#ids, sharedHost: true };
    await expectHostClean(this.ctr.instance, this.#before, options);
  }
}

/** The demo ends here: something did not come out as it must. */
export class Disappointment extends Error {
  override readonly name = "Disappointment";
}

/** @throws Disappointment unless `condition` holds. */
export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Disappointment(what);
}
