/**
 * What the ways to start a container are measured with: runc, and this project's runtime with a pool, with a template, and with
 * neither.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type LiveCommand, runCommand, startCommand } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { BUILT_PROGRAMS, type Configuration, writeKataConfiguration } from "../harness/kata-configuration.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME, RUNC_RUNTIME } from "../harness/subject.ts";

export interface Subject {
  readonly name: string;
  readonly runtime: string;
  /** Of `ctr run`. */
  readonly flags: readonly string[];
}

export const REFERENCE: Subject = { name: "runc", runtime: RUNC_RUNTIME, flags: [] };

/**
 * A machine that may grow has places for the host's other CPUs, and a guest with such places runs an emulated processor's slow
 * instructions, those for several: a fifth of a container's start. So what is measured keeps its size, as on AKS.
 */
const KEEPS_ITS_SIZE: Configuration = { runtime: { static_sandbox_resource_mgmt: true } };

const KATA_RUNTIME_PROGRAM = join(BUILT_PROGRAMS, "kata-runtime");
const POOL_DEADLINE_MS = 180_000;

/** The subjects of this project, with a pool that runs until the end of the scope. */
export class KataSubjects implements AsyncDisposable {
  readonly pool: Subject;
  readonly template: Subject;
  readonly cold: Subject;
  /** Pods of these leave a trace behind. */
  readonly tracedPool: Subject;
  readonly tracedTemplate: Subject;
  /** The pool's configuration file. */
  readonly poolFile: string;
  /** Another one of the same templates' directory, with `changes`; its configuration file is `NAME.toml` of the instance's directory. */
  readonly configured: (name: string, changes: Configuration) => Subject;
  readonly #root: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #service: LiveCommand;

  /** @param machines that the pool keeps ready. */
  constructor(containerd: PrivateContainerd, machines: number) {
    const { directory, tag } = containerd.address;
    this.#root = `/run/kata-bench-${tag}`;
    const templates = { template_path: `${this.#root}/templates` };
    this.configured = (name, changes) => {
      const file = writeKataConfiguration(directory, name, {
        ...KEEPS_ITS_SIZE,
        factory: templates,
        ...changes,
      });
      return { name, runtime: KATA_RUNTIME, flags: ["--runtime-config-path", file] };
    };
    const pool: Configuration = {
      factory: {
        ...templates,
        vm_cache_number: machines,
        vm_cache_endpoint: `${this.#root}/cache.sock`,
      },
    };
    const traced: Configuration = { runtime: { ...KEEPS_ITS_SIZE.runtime, enable_tracing: true } };
    this.pool = this.configured("kata-pool", pool);
    this.tracedPool = this.configured("kata-pool-traced", { ...pool, ...traced });
    this.tracedTemplate = this.configured("kata-template-traced", traced);
    this.template = this.configured("kata-template", {});
    this.cold = this.configured("kata-cold", { factory: { enable_template: false } });
    this.poolFile = this.pool.flags[1] ?? "";
    this.#env = { ...process.env, KATA_CONF_FILE: this.poolFile };
    this.#service = startCommand(KATA_RUNTIME_PROGRAM, ["factory", "serve"], { env: this.#env });
  }

  /** Waits until the pool has a machine and rests: what makes the next one would be in the way of what is measured. */
  async ready(): Promise<void> {
    const isReady = async () => {
      const { status, stdout } = await runCommand(KATA_RUNTIME_PROGRAM, ["factory", "status", "--json"], {
        env: this.#env,
      });
      if (status !== 0) return undefined;
      const { pool } = JSON.parse(stdout) as { pool: { ready: unknown[]; building: boolean } | null };
      return pool !== null && pool.ready.length > 0 && !pool.building ? true : undefined;
    };
    await eventually("a machine of the pool", POOL_DEADLINE_MS, isReady);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service[Symbol.asyncDispose]();
    rmSync(this.#root, { recursive: true, force: true });
  }
}
