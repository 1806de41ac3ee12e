/**
 * The pod as the agent sees it: its containers, and what they share.
 *
 * There is one in an agent's life: created, filled, destroyed. Before it is created there is a room for containers already,
 * since a host may leave CreateSandbox out.
 */
import { describeError, KataError } from "../../kata-error.ts";
import type { Hooks, Spec } from "../../oci/types.ts";
import type { CancelSignal } from "../../sys/cancellation.ts";
import { mkdirAll, replaceFile } from "../../sys/files.ts";
import type { Logger } from "../../sys/log.ts";
import { Rollback } from "../../sys/rollback.ts";
import { traced, tracedNow, tracePhase } from "../../sys/trace.ts";
import type { KernelModules } from "../boot/kernel-modules.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { withGuestsOwn } from "../confidential/guests-own.ts";
import { bundleDirectory } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import type { CgroupRoom } from "../container/container-cgroup.ts";
import { type ContainerContext, checkId, createContainer } from "../container/create-container.ts";
import { runHooks } from "../container/hooks.ts";
import { type PluggedDevice, resolveDevices } from "../device/container-devices.ts";
import { deviceModules } from "../device/device-modules.ts";
import { GuestProcesses } from "../guest/guest-processes.ts";
import { becomeMachine, type MachineIdentity } from "../guest/machine-identity.ts";
import { MemoryAgent } from "../guest/memory-agent.ts";
import {
  addNeighbours,
  type GuestInterface,
  type GuestNeighbour,
  type GuestRoute,
  updateInterface,
  updateRoutes,
} from "../guest/network.ts";
import { ParkedCards } from "../guest/parked-cards.ts";
import type { ImageStore } from "../image/image-store.ts";
import type { PolicyGate } from "../policy/policy-gate.ts";
import type { Settings } from "../settings.ts";
import { StorageRegistry } from "../storage/registry.ts";
import { remountEphemeral } from "../storage/remount.ts";
import type { Storage } from "../storage/storage.ts";
import { scanGuestHooks, withGuestHooks } from "./guest-hooks.ts";
import { OomEvents } from "./oom-events.ts";
import { RESOLV_CONF, SANDBOX_DIRECTORY, SHARED_DIRECTORY } from "./paths.ts";
import { type PidHolder, startPidHolder } from "./pid-holder.ts";
import { makeSharedNamespaces, type SharedNamespaces } from "./shared-namespaces.ts";

export interface SandboxRequest {
  readonly id: string;
  readonly hostname: string;
  /** Lines of resolv.conf. */
  readonly dns: readonly string[];
  readonly storages: readonly Storage[];
  /** Whether all containers are in one pid namespace. */
  readonly sharedPidNamespace: boolean;
  /** Kernel modules that the pod needs. */
  readonly modules: readonly ModuleRequest[];
  /** Directory of hooks in the guest; empty for none. */
  readonly guestHookPath: string;
  /** Makes what is the same for every pod: the machine is saved or kept ready, and a second request tells of its pod. */
  readonly prepare: boolean;
  /** For a clone: who it is from now on. */
  readonly identity: MachineIdentity | undefined;
  readonly network: GuestNetwork;
  /** Puts the machine's network cards out of sight until a request has interfaces. */
  readonly parkCards: boolean;
}

/** What else than its containers the pod's machine is told at once; each may be empty. */
export interface GuestNetwork {
  readonly interfaces: readonly GuestInterface[];
  /** undefined leaves the routes as they are. */
  readonly routes: readonly GuestRoute[] | undefined;
  readonly neighbours: readonly GuestNeighbour[];
}

export interface ModuleRequest {
  readonly name: string;
  /** `name=value` texts. */
  readonly parameters: readonly string[];
}

export interface NewContainer {
  readonly id: string;
  readonly spec: Spec;
  /** What the host has plugged in for it. */
  readonly devices: readonly PluggedDevice[];
  readonly storages: readonly Storage[];
  /** Whether it is in the pod's pid namespace. */
  readonly sharedPidNamespace: boolean;
}

export interface SandboxContext {
  readonly settings: Settings;
  readonly reaper: ChildReaper;
  readonly cgroups: CgroupRoom;
  readonly logger: Logger;
  readonly policy: PolicyGate;
  /** Whether the machine is the agent's own. */
  readonly isGuest: boolean;
  /** The guest's modules; undefined natively. */
  readonly modules?: KernelModules | undefined;
  /** The directory that the machine booted from; undefined natively. */
  readonly initialRoot?: number | undefined;
}

/** Most containers in a pod, and most lines of name servers: a host sends a handful. */
const MAX_CONTAINERS = 1024;
const MAX_DNS_LINES = 256;
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
  readonly #parked = new ParkedCards();
  /** Settles when the modules are loaded that containers need, or one of them has failed. */
  readonly modulesLoaded: Promise<void>;

  constructor(context: SandboxContext) {
    this.context = context;
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
      if (request.dns.length > 0) this.#writeNameServers(request.dns);
      await this.#connect(request.network);
      if (request.parkCards) {
        this.requireGuest("park network cards");
        this.#parked.park();
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

  async #connect({ interfaces, routes, neighbours }: GuestNetwork): Promise<void> {
    if (interfaces.length > 0 || routes !== undefined || neighbours.length > 0) {
      this.requireGuest("set up network");
    }
    // No container has begun its life: they wait for the end of this.
    if (interfaces.length > 0) this.#parked.unpark();
    for (const each of interfaces) {
      const update = updateInterface(each, this.context.settings.hotplugTimeoutMs);
      await traced("guest", `set up ${each.name}`, update);
    }
    if (routes !== undefined) tracedNow("guest", "set up routes", () => updateRoutes(routes));
    if (neighbours.length > 0) addNeighbours(neighbours);
  }

  /** Brings a card that was plugged in late to a pod that has no network yet, if it is not here. @throws KataError as `ParkedCards.fetch`. */
  fetchCard(wanted: GuestInterface): Promise<void> {
    return this.#parked.fetch(wanted, this.context.settings.hotplugTimeoutMs);
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

  #writeNameServers(lines: readonly string[]): void {
    if (lines.length > MAX_DNS_LINES || lines.some((line) => /[\n\0]/.test(line))) {
      throw new KataError("invalid-argument", {
        operation: "write resolv.conf",
        object: `${lines.length} lines`,
      });
    }
    const text = `${lines.join("\n")}\n`;
    replaceFile(RESOLV_CONF, text, 0o644);
    if (!this.context.isGuest) return;
    mkdirAll("/etc");
    replaceFile("/etc/resolv.conf", text, 0o644);
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
