/** What one end-to-end test works with: containers whose names nobody else uses, a scratch directory, a clean host after it. */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test as base, inject } from "vitest";
import type { CommandOptions, CommandResult, LiveCommand } from "./command.ts";
import { type ContainerRequest, Ctr } from "./ctr.ts";
import { expectHostClean, type HostSnapshot, takeHostSnapshot } from "./host-snapshot.ts";
import type { InstanceAddress } from "./private-containerd.ts";
import { subject } from "./subject.ts";

/** Lines of the daemon's log that a failed test shows. */
const LOG_LINES_SHOWN = 60;

let containersNamed = 0;
let benchesMade = 0;

export class Workbench implements AsyncDisposable {
  readonly ctr: Ctr;
  /** Image with busybox. */
  readonly image: string;
  /** An empty directory on the host, removed after the test. */
  readonly scratch: string;
  readonly #before: HostSnapshot;
  readonly #ids: string[] = [];

  private constructor(ctr: Ctr, image: string, scratch: string, before: HostSnapshot) {
    this.ctr = ctr;
    this.image = image;
    this.scratch = scratch;
    this.#before = before;
  }

  /** Notes what is on the host now; the end of the scope demands the same. */
  static async on(instance: InstanceAddress, image: string): Promise<Workbench> {
    const scratch = join(instance.directory, `scratch-${process.pid}-${benchesMade++}`);
    mkdirSync(scratch);
    return new Workbench(new Ctr(instance), image, scratch, await takeHostSnapshot(instance));
  }

  /** A container name of this instance's own. */
  newId(): string {
    const id = `${this.ctr.instance.tag}-${process.pid % 1000}-${containersNamed++}`;
    this.#ids.push(id);
    return id;
  }

  /** What carries this name belongs to the test too. */
  noteId(id: string): void {
    this.#ids.push(id);
  }

  /** A container of the runtime under test. */
  request(command: readonly string[], flags: readonly string[] = [], id = this.newId()): ContainerRequest {
    return { id, image: this.image, runtime: subject.runtime, command, flags };
  }

  /** Runs a shell script in a container to its end. */
  run(script: string, flags: readonly string[] = [], options: CommandOptions = {}): Promise<CommandResult> {
    return this.ctr.runContainer(this.request(["sh", "-c", script], flags), options);
  }

  /** Starts a shell script in a container. */
  start(script: string, flags: readonly string[] = [], id = this.newId()): LiveCommand {
    return this.ctr.startContainer(this.request(["sh", "-c", script], flags, id));
  }

  /** Runs a shell script in a container that goes on without a client. @returns its id. */
  async detach(script: string, flags: readonly string[] = [], id = this.newId()): Promise<string> {
    await this.ctr.runDetached(this.request(["sh", "-c", script], flags, id));
    return id;
  }

  /** Runs a shell script as a further process of container `id`. */
  exec(
    id: string,
    script: string,
    flags: readonly string[] = [],
    options: CommandOptions = {},
  ): Promise<CommandResult> {
    return this.ctr.call(this.ctr.execArguments(id, this.newId(), flags, ["sh", "-c", script]), options);
  }

  /** Demands that the containers so far have left nothing behind. */
  async expectClean(): Promise<void> {
    await expectHostClean(this.ctr.instance, this.#before, { containers: this.#ids });
  }

  /** Ends what still runs; then the host must be as it was. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.ctr.removeEverything();
    rmSync(this.scratch, { recursive: true, force: true });
    await this.expectClean();
  }
}

/** A test with a workbench on the shared containerd. */
export const test = base.extend<{ bench: Workbench }>({
  bench: async ({ onTestFailed }, use) => {
    const instance = inject("instance");
    onTestFailed(() => {
      const log = readFileSync(join(instance.directory, "log"), "utf8").trimEnd().split("\n");
      console.error(`end of containerd's log:\n${log.slice(-LOG_LINES_SHOWN).join("\n")}`);
    });
    await using bench = await Workbench.on(instance, inject("busybox"));
    await use(bench);
  },
});
