/**
 * The pod as the agent sees it: its containers, and what they share.
 *
 * There is one in an agent's life: created, filled, destroyed. Before it is created there is a room for containers already,
 * since a host may leave CreateSandbox out.
 */
import { describeError, KataError } from "../../kata-error.ts";
import type { Hooks, Spec } from "../../oci/types.ts";
import type { CancelSignal } from "../../sys/cancellation.ts";
import { mkdirAll } from "../../sys/files.ts";
import { Rollback } from "../../sys/rollback.ts";
import { traced, tracePhase } from "../../sys/trace.ts";
import { withGuestsOwn } from "../confidential/guests-own.ts";
import { bundleDirectory } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import { type ContainerContext, checkId, createContainer } from "../container/create-container.ts";
import { runHooks } from "../container/hooks.ts";
import { resolveDevices } from "../device/container-devices.ts";
import { deviceModules } from "../device/device-modules.ts";
import { GuestProcesses } from "../guest/guest-processes.ts";
import { becomeMachine } from "../guest/machine-identity.ts";
import { MemoryAgent } from "../guest/memory-agent.ts";
import type { ImageStore } from "../image/image-store.ts";
import { StorageRegistry } from "../storage/registry.ts";
import { remountEphemeral } from "../storage/remount.ts";
import type { Storage } from "../storage/storage.ts";
import { scanGuestHooks, withGuestHooks } from "./guest-hooks.ts";
import { writeNameServers } from "./name-servers.ts";
import { OomEvents } from "./oom-events.ts";
import { SANDBOX_DIRECTORY, SHARED_DIRECTORY } from "./paths.ts";
import { type PidHolder, startPidHolder } from "./pid-holder.ts";
import { isAny, SandboxNetwork } from "./sandbox-network.ts";
import type { ModuleRequest, NewContainer, SandboxContext, SandboxRequest } from "./sandbox-request.ts";
import { makeSharedNamespaces, type SharedNamespaces } from "./shared-namespaces.ts";

/** Most containers in a pod: a host sends a handful. */
const MAX_CONTAINERS = 1024;
/** Ending all processes when the pod is destroyed, for each container, ms. */
const DESTROY_DEADLINE_MS = 10_000;

export class Sandbox {
  readonly context: SandboxContext;
  readonly storages: StorageRegistry;
  readonly oomEvents = new OomEvents();
  readonly memoryAgent: MemoryAgent;
  readonly guestProcesses: GuestProcesses;
  readonly #containers = new Map<string, Container>();
  /** Ids of containers that are being created. */
  readonly #creating = new Set<string>();
  #state: "none" | "prepared" | "created" | "destroyed" = "none";
  /** Settles when the creation that is under way does: a host may ask for a container without waiting for it. */
  #creation: Promise<void> = Promise.resolve();
  #namespaces: SharedNamespaces | undefined;
  #guestHooks: Hooks = {};
  #pidHolder: PidHolder | undefined;
  #images: Promise<ImageStore> | undefined;
  readonly network: SandboxNetwork;
  /** Settles when the modules are loaded that containers need, or one of them has failed. */
  readonly modulesLoaded: Promise<void>;

  constructor(context: SandboxContext) {
    this.context = context;
    this.network = new SandboxNetwork(context.settings.hotplugTimeoutMs);
    this.memoryAgent = new MemoryAgent(context.settings.memoryAgent, context.isGuest, context.reaper);
    this.guestProcesses = new GuestProcesses(context.settings.debugConsole);
    this.modulesLoaded = context.modules?.loadLate() ?? Promise.resolve();
    // Who needs them hears of a failure; before that it is no reason to end.
    this.modulesLoaded.catch((error: unknown) =>
      context.logger.error("load kernel modules", { error: describeError(error) }),
    );
    this.storages = new StorageRegistry({
      hotplugTimeoutMs: context.settings.hotplugTimeoutMs,
      dataHub: context.settings.dataHub,
      images: () => {
        this.#images ??= openImages(context);
        return this.#images;
      },
      loadModule: context.modules === undefined ? undefined : (name) => context.modules?.load(name),
      warn: (message, fields) => context.logger.warn(message, fields),
    });
  }

  get containers(): Iterable<Container> {
    return this.#containers.values();
  }

  /**
   * Creates the sandbox, prepares it further, or finishes one that was prepared.
   *
   * @throws KataError `failed-precondition` if there is or was one. Nothing is left if a step fails.
   */
  create(request: SandboxRequest): Promise<void> {
    const before = this.#state;
    if (before === "created" || before === "destroyed") {
      return Promise.reject(
        new KataError("failed-precondition", { operation: "create sandbox", object: `it is ${before}` }),
      );
    }
    this.#state = request.prepare ? "prepared" : "created";
    const creation = this.#create(request, before);
    this.#creation = creation;
    // Who asks for a container meanwhile hears of a failure, too; nobody has to ask.
    creation.catch(() => undefined);
    return creation;
  }

  async #create(request: SandboxRequest, before: "none" | "prepared"): Promise<void> {
    const undo = new Rollback();
    try {
      // Before anything that draws a random number or looks at the clock.
      if (request.identity !== undefined) {
        this.requireGuest("become a machine of its own");
        becomeMachine(request.identity);
      }
      await this.modulesLoaded;
      this.#loadModules(request.modules);
      if (this.#namespaces === undefined) {
        mkdirAll(SHARED_DIRECTORY, 0o755);
        mkdirAll(SANDBOX_DIRECTORY, 0o755);
        const namespaces = makeSharedNamespaces(request.hostname);
        undo.add("namespaces", () => {
          this.#namespaces = undefined;
          namespaces.close();
        });
        this.#namespaces = namespaces;
      } else {
        this.#namespaces.setHostname(request.hostname);
      }
      if (request.sharedPidNamespace) {
        const holder = startPidHolder(this.context.reaper);
        undo.add("pid namespace", () => {
          this.#pidHolder = undefined;
          return holder.end();
        });
        this.#pidHolder = holder;
      }
      for (const storage of request.storages) await this.#provide(storage, undo);
      if (request.prepare) this.context.cgroups.prepare();
      this.#guestHooks = this.#findHooks(request.guestHookPath);
      if (request.dns.length > 0) writeNameServers(request.dns, this.context.isGuest);
      if (isAny(request.network)) this.requireGuest("set up network");
      await this.network.connect(request.network);
      if (request.parkCards) {
        this.requireGuest("park network cards");
        this.network.park();
      }
    } catch (error) {
      this.#state = before;
      await undo.run();
      throw error;
    }
  }

  /** What was prepared is there already, and gets what this pod has otherwise. */
  async #provide(storage: Storage, undo: Rollback): Promise<void> {
    if (this.storages.mountPoints.includes(storage.mountPoint)) {
      if (storage.driver === "ephemeral") remountEphemeral(storage);
      return;
    }
    await this.storages.use(storage);
    undo.add(`storage ${storage.mountPoint}`, () => this.storages.release(storage.mountPoint));
  }

  /** A guest whose image lacks the directory has no hooks: upstream's hosts name one for all images. */
  #findHooks(directory: string): Hooks {
    if (directory === "") return {};
    try {
      return scanGuestHooks(directory);
    } catch (error) {
      this.context.logger.warn("guest hooks are not run", { directory, error: describeError(error) });
      return {};
    }
  }

  #loadModules(modules: readonly ModuleRequest[]): void {
    if (modules.length === 0) return;
    this.requireGuest("load kernel modules");
    for (const { name, parameters } of modules) this.context.modules?.load(name, parameters);
  }

  /** @throws KataError `failed-precondition` unless the machine is the agent's own. */
  requireGuest(operation: string): void {
    if (this.context.isGuest) return;
    throw new KataError("failed-precondition", { operation, object: "this machine is not the agent's own" });
  }

  /** Ends every container and gives back what they shared. Failures are logged: the machine ends after it. */
  async destroy(): Promise<void> {
    this.#state = "destroyed";
    this.oomEvents.end();
    this.memoryAgent.close();
    const step = async (what: string, action: () => void | Promise<void>) => {
      try {
        await action();
      } catch (error) {
        this.context.logger.warn(`destroy sandbox: ${what}`, { error: describeError(error) });
      }
    };
    await Promise.all(
      [...this.#containers.values()].map((container) =>
        step(`container ${container.id}`, async () => {
          await container.remove(DESTROY_DEADLINE_MS);
          this.#containers.delete(container.id);
        }),
      ),
    );
    const holder = this.#pidHolder;
    if (holder !== undefined) await step("pid namespace", () => holder.end());
    await step("storages", () => this.storages.releaseAll());
    await step("namespaces", () => this.#namespaces?.close());
    await step("cgroups", () => this.context.cgroups.close());
    this.#pidHolder = undefined;
    this.#namespaces = undefined;
  }

  /** The container `id`. @throws KataError `not-found`. */
  container(id: string): Container {
    const container = this.#containers.get(id);
    if (container !== undefined) return container;
    throw new KataError("not-found", {
      operation: "find container",
      object: JSON.stringify(id.slice(0, 128)),
    });
  }

  /** Creates a container. @throws KataError `already-exists` for an id that is in use. */
  async createContainer(request: NewContainer): Promise<void> {
    const { id } = request;
    checkId(id, "container");
    const spec = withGuestHooks(request.spec, this.#guestHooks);
    if (this.#isDestroyed()) throw destroyed();
    if (this.#containers.has(id) || this.#creating.has(id)) {
      throw new KataError("already-exists", { operation: "create container", object: id });
    }
    if (this.#containers.size + this.#creating.size >= MAX_CONTAINERS) {
      throw new KataError("resource-exhausted", {
        operation: "create container",
        object: id,
        hint: `a pod has at most ${MAX_CONTAINERS} containers`,
      });
    }
    // Hosts that learn of a shared namespace from its first member do not ask for it when the sandbox is created.
    if (request.sharedPidNamespace) this.#pidHolder ??= startPidHolder(this.context.reaper);
    this.#creating.add(id);
    const resources = new Rollback();
    try {
      await this.#creation;
      await this.modulesLoaded;
      for (const name of deviceModules(spec))
        if (this.context.modules?.has(name)) this.context.modules.load(name);
      for (const storage of request.storages) {
        await traced("guest", `storage ${storage.mountPoint}`, this.storages.use(storage));
        resources.add(`storage ${storage.mountPoint}`, () => this.storages.release(storage.mountPoint));
      }
      const resolving = tracePhase("guest", "find devices");
      const opened = await withGuestsOwn({ ...request, spec }, this.context.settings.dataHub, resources);
      const resolved = await resolveDevices(
        opened,
        request.devices,
        this.context.settings.hotplugTimeoutMs,
        (name) => this.context.modules?.load(name),
      );
      resolving();
      const container = await createContainer(
        {
          id,
          spec: resolved,
          resources,
          shared: {
            ipc: wants(spec, "ipc") ? this.#namespaces?.ipc.fd : undefined,
            uts: wants(spec, "uts") ? this.#namespaces?.uts.fd : undefined,
            pid: request.sharedPidNamespace ? this.#pidHolder?.namespace.fd : undefined,
          },
        },
        this.#containerContext(),
      );
      if (this.#isDestroyed()) {
        await container.remove(DESTROY_DEADLINE_MS);
        throw destroyed();
      }
      this.#containers.set(id, container);
    } catch (error) {
      await resources.run();
      throw error;
    } finally {
      this.#creating.delete(id);
    }
  }

  #isDestroyed(): boolean {
    return this.#state === "destroyed";
  }

  #containerContext(): ContainerContext {
    const { reaper, cgroups, settings, logger } = this.context;
    return {
      reaper,
      cgroups,
      pipeSize: settings.containerPipeSize,
      warn: (message: string, fields: Readonly<Record<string, string>>) => logger.warn(message, fields),
    };
  }

  /** What {@link Container} needs to run another process. */
  get processContext(): ContainerContext {
    return this.#containerContext();
  }

  async startContainer(id: string): Promise<void> {
    const container = this.container(id);
    await container.start();
    try {
      const subject = { id, spec: container.spec, bundle: bundleDirectory(id) };
      await runHooks("poststart", subject, container.init.pid, this.context.reaper);
    } catch (error) {
      await container.killAll();
      throw error;
    }
    // The container runs: that nobody hears of a shortage is no reason to call its start a failure.
    const failed = (error: unknown) =>
      this.context.logger.warn("watch for shortage of memory", {
        container: id,
        error: describeError(error),
      });
    try {
      container.cgroup.watchOom(() => this.oomEvents.report(id), failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Ends a container and gives it back. @param deadlineMs 0 to wait as long as it takes. */
  async removeContainer(id: string, deadlineMs: number): Promise<void> {
    await this.container(id).remove(deadlineMs);
    this.#containers.delete(id);
  }

  /** The id of the next container in which a process was killed for want of memory. */
  nextOom(signal?: CancelSignal): Promise<string> {
    return this.oomEvents.next(signal);
  }
}

/** Read when a first image is pulled: few guests do. */
async function openImages({ settings, reaper, initialRoot }: SandboxContext): Promise<ImageStore> {
  const { openImageStore } = await import("../image/image-store.ts");
  return openImageStore({
    insecure: settings.insecureRegistries,
    timeoutMs: settings.dataHub.pullMs,
    reaper,
    initialRoot,
    trust: settings.images,
    dataHub: settings.dataHub,
  });
}

function destroyed(): KataError {
  return new KataError("failed-precondition", {
    operation: "create container",
    object: "the sandbox is destroyed",
  });
}

/** Whether `spec` asks for a namespace of `type`; only then it is in the pod's. */
function wants(spec: Spec, type: string): boolean {
  return spec.linux?.namespaces?.some((namespace) => namespace.type === type) ?? false;
}
