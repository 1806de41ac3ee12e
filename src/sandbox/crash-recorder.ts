/** Keeps the file up to date that a clean-up after a crash goes by. */
import { hasErrno, KataError } from "../kata-error.ts";
import { type CrashRecord, EMPTY_RECORD, writeCrashRecord } from "./crash-record.ts";
import type { NetworkRecord } from "./network/network-steps.ts";
import { processStartTime } from "./process-identity.ts";
import type { SandboxPaths } from "./sandbox-paths.ts";

export class CrashRecorder {
  readonly #paths: SandboxPaths;
  #record: CrashRecord = EMPTY_RECORD;

  constructor(paths: SandboxPaths) {
    this.#paths = paths;
  }

  /** @throws KataError `system-call` that names the file, if it cannot be written. */
  update(changes: Partial<CrashRecord>): void {
    this.#record = { ...this.#record, ...changes };
    try {
      writeCrashRecord(this.#paths, this.#record);
    } catch (error) {
      if (!hasErrno(error, "ENOSPC", "EDQUOT", "EROFS")) throw error;
      throw new KataError("system-call", {
        operation: "write state of the sandbox",
        object: this.#paths.state,
        errno: error.errno,
        hint: "make room on the file system of /run",
        cause: error,
      });
    }
  }

  addProcess(name: string, pid: number): void {
    const startTime = processStartTime(pid);
    if (startTime === undefined) return;
    this.update({ processes: [...this.#record.processes, { name, pid, startTime }] });
  }

  /** The changes of the sandbox's network. */
  readonly network: NetworkRecord = {
    add: (step) => this.update({ networkSteps: [...this.#record.networkSteps, step] }),
    remove: (step) =>
      this.update({ networkSteps: this.#record.networkSteps.filter((other) => other !== step) }),
  };
}
