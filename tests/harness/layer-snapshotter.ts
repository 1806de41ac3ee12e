/** The snapshotter of verified layers as a process of its own, for an instance of containerd. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { exitStatus } from "./command.ts";
import type { Ctr } from "./ctr.ts";
import { eventually } from "./eventually.ts";
import { BUILT_PROGRAMS } from "./kata-configuration.ts";

const START_DEADLINE_MS = 20_000;

/** What the snapshotter is called in containerd's configuration. */
export const LAYER_SNAPSHOTTER = "kata";

/** Where it listens, in an instance's directory. */
export function layerSnapshotterSocket(directory: string): string {
  return join(directory, "snapshotter.sock");
}

/** Waits until containerd, which was started first and looks for it ever less often, has found the snapshotter. */
export async function awaitLayerSnapshotter(ctr: Ctr): Promise<void> {
  await eventually("containerd finds the snapshotter", START_DEADLINE_MS, async () => {
    // What is listed or looked for containerd knows by itself, whether it reaches the snapshotter or not.
    const command = ["snapshots", "--snapshotter", LAYER_SNAPSHOTTER];
    if ((await ctr.call([...command, "prepare", "probe"])).status !== 0) return undefined;
    await ctr.must([...command, "rm", "probe"]);
    return true;
  });
}

export class LayerSnapshotter implements AsyncDisposable {
  /** Directory of the layers' disks. */
  readonly layers: string;
  readonly #child: ChildProcess;
  readonly #logFile: string;

  private constructor(directory: string, child: ChildProcess) {
    this.layers = join(directory, "snapshots/layers");
    this.#logFile = join(directory, "snapshotter.log");
    this.#child = child;
  }

  /** Starts it for the instance in `directory`, whose containerd listens on `containerd`. */
  static async start(
    directory: string,
    containerd: string,
    format: "erofs" | "tar" = "erofs",
  ): Promise<LayerSnapshotter> {
    const socket = layerSnapshotterSocket(directory);
    const log = openSync(join(directory, "snapshotter.log"), "a");
    const args = [
      join(BUILT_PROGRAMS, "kata-snapshotter"),
      "--format",
      format,
      join(directory, "snapshots"),
      socket,
      containerd,
    ];
    const child = spawn(process.execPath, args, { stdio: ["ignore", log, log] });
    closeSync(log);
    const started = new LayerSnapshotter(directory, child);
    await eventually("the snapshotter listens", START_DEADLINE_MS, async () => {
      if (child.exitCode !== null) throw new Error(`the snapshotter ended\n${started.log}`);
      return existsSync(socket) || undefined;
    });
    return started;
  }

  get log(): string {
    return readFileSync(this.#logFile, "utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = exitStatus(this.#child);
    this.#child.kill("SIGTERM");
    await ended;
  }
}
