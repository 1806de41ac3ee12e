/**
 * The host's hooks of one container, at the points of its life, and what they owe the host: once the first has run, those for the
 * end run too, whatever becomes of the container. A note in the bundle says so, for `delete` after a crash of the shim.
 * Source: OCI runtime specification 1.3, "Lifecycle".
 */
import { describeError } from "../kata-error.ts";
import { checkHooks, type HookSubject } from "../oci/hooks.ts";
import type { HostHookPoint } from "../sandbox/hooks/host-hooks.ts";
import type { Logger } from "../sandbox/types.ts";
import type { CancelSignal } from "../sys/cancellation.ts";

/** One point's hooks, for {@link ContainerHooks}. */
export interface HookRun {
  readonly point: HostHookPoint;
  readonly subject: HookSubject;
  readonly pid: number | undefined;
  readonly signal?: CancelSignal | undefined;
}

export interface ContainerHooksParts {
  readonly runHooks: (run: HookRun) => Promise<void>;
  /** Notes in `bundle` that hooks have run; the result takes the note back. */
  readonly noteHooks: (bundle: string) => () => void;
  readonly logger: Logger;
}

const BEFORE_CREATION = ["prestart", "createRuntime", "createContainer"] as const;
const ON_HOST = [...BEFORE_CREATION, "poststart", "poststop"] as const;

export class ContainerHooks {
  readonly #parts: ContainerHooksParts;
  readonly #subject: HookSubject;
  #release: (() => void) | undefined;

  /** @throws KataError `invalid-argument` for a hook that cannot be run. */
  constructor(parts: ContainerHooksParts, subject: HookSubject) {
    checkHooks(subject.spec.hooks);
    this.#parts = parts;
    this.#subject = subject;
  }

  /** @param pid of the machine monitor. @throws KataError for the first hook that fails. */
  async beforeCreation(pid: number, signal: CancelSignal): Promise<void> {
    if (ON_HOST.some((point) => this.#has(point)))
      this.#release = this.#parts.noteHooks(this.#subject.bundle);
    for (const point of BEFORE_CREATION) await this.#run({ point, pid, signal });
  }

  /** @throws KataError for the first hook that fails. */
  async afterStart(pid: number): Promise<void> {
    await this.#run({ point: "poststart", pid });
  }

  /** Runs those for the end, once, if any hook has run before. Their failures are told and change nothing. */
  async afterEnd(): Promise<void> {
    const release = this.#release;
    if (release === undefined) return;
    this.#release = undefined;
    await runLastHooks(this.#parts, this.#subject);
    release();
  }

  #has(point: HostHookPoint): boolean {
    return (this.#subject.spec.hooks?.[point]?.length ?? 0) > 0;
  }

  async #run(run: Omit<HookRun, "subject">): Promise<void> {
    if (this.#has(run.point)) await this.#parts.runHooks({ ...run, subject: this.#subject });
  }
}

/** Runs the poststop hooks, each whether or not the one before it has failed. */
export async function runLastHooks(
  { runHooks, logger }: Pick<ContainerHooksParts, "runHooks" | "logger">,
  { spec, ...subject }: HookSubject,
): Promise<void> {
  for (const hook of spec.hooks?.poststop ?? []) {
    const alone = { ...subject, spec: { ...spec, hooks: { poststop: [hook] } } };
    await runHooks({ point: "poststop", subject: alone, pid: undefined }).catch((error: unknown) => {
      logger.warn("a hook failed", { container: subject.id, error: describeError(error) });
    });
  }
}
