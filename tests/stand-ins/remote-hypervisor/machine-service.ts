/**
 * What a remote hypervisor makes of its calls: each is checked, and what may come after what. Behind it a real guest boots, gets the
 * pod's network as through a tunnel, and is reached through a socket for its agent.
 * Sources: proto/remote.proto; upstream's runtimes and the cloud API adaptor (what is asked for, and how it is refused).
 */
import type { CreateVMRequest, HypervisorHandlers } from "../../../build/generated/remote.ts";
import { describeError, KataError } from "../../../src/kata-error.ts";
import { O_APPEND, O_CREAT, O_WRONLY, open, statIfExists, writeAll } from "../../../src/sys/files.ts";
import { utf8Encode } from "../../../src/sys/utf8.ts";
import { RemoteGuest, type RemoteGuestOptions } from "./remote-guest.ts";

const HYPERVISOR = "io.katacontainers.config.hypervisor.";
/** Each annotation that comes, and what it looks like. */
const ANNOTATIONS: Readonly<Record<string, RegExp>> = {
  "io.kubernetes.cri.sandbox-name": /^.+$/,
  "io.kubernetes.cri.sandbox-namespace": /^.+$/,
  [`${HYPERVISOR}machine_type`]: /^[\w.-]*$/,
  [`${HYPERVISOR}image`]: /^[\w./:-]*$/,
  [`${HYPERVISOR}default_vcpus`]: /^[1-9]\d*$/,
  [`${HYPERVISOR}default_memory`]: /^[1-9]\d*$/,
  [`${HYPERVISOR}default_gpus`]: /^\d+$/,
  [`${HYPERVISOR}default_gpu_model`]: /^[\w.-]*$/,
  [`${HYPERVISOR}cc_init_data`]: /^[A-Za-z0-9+/=]*$/,
};

type Machine =
  | { readonly is: "created"; readonly request: CreateVMRequest; readonly socket: string }
  | { readonly is: "starting" }
  | { readonly is: "running"; readonly guest: RemoteGuest };

export class MachineService implements HypervisorHandlers {
  readonly #options: RemoteGuestOptions;
  readonly #machines = new Map<string, Machine>();

  constructor(options: RemoteGuestOptions) {
    this.#options = options;
  }

  readonly version = async (): Promise<{ version: string }> => ({ version: "0.0.0" });

  readonly createVM = (request: CreateVMRequest): Promise<{ agentSocketPath: string }> =>
    this.#noted("CreateVM", request, async () => {
      const { id, networkNamespacePath } = request;
      checkRequest(request);
      if (networkNamespacePath !== "" && statIfExists(networkNamespacePath) === undefined) {
        throw refusal("create", `failed to inspect netns ${networkNamespacePath}`);
      }
      if (this.#machines.has(id)) throw refusal("create", `sandbox ${id} already exists`);
      // The name has to fit into an address, whatever the id is.
      const socket = `${this.#options.directory}/${id.slice(-12)}.agent`;
      this.#machines.set(id, { is: "created", request, socket });
      return { agentSocketPath: socket };
    });

  readonly startVM = ({ id }: { readonly id: string }): Promise<Record<string, never>> =>
    this.#noted("StartVM", { id }, async () => {
      const machine = this.#known(id, "start");
      if (machine.is !== "created") throw refusal("start", `sandbox ${id} is ${machine.is}`);
      this.#machines.set(id, { is: "starting" });
      try {
        const guest = await RemoteGuest.start(machine.request, machine.socket, this.#options);
        // It may have been stopped meanwhile.
        if (this.#machines.get(id)?.is !== "starting") await guest.stop();
        else this.#machines.set(id, { is: "running", guest });
      } catch (error) {
        if (this.#machines.get(id)?.is === "starting") this.#machines.set(id, machine);
        throw error;
      }
      return {};
    });

  readonly stopVM = ({ id }: { readonly id: string }): Promise<Record<string, never>> =>
    this.#noted("StopVM", { id }, async () => {
      const machine = this.#known(id, "stop");
      this.#machines.delete(id);
      if (machine.is === "running") await machine.guest.stop();
      return {};
    });

  async stopAll(): Promise<void> {
    for (const machine of this.#machines.values()) {
      if (machine.is === "running") await machine.guest.stop();
    }
  }

  #known(id: string, operation: string): Machine {
    const machine = this.#machines.get(id);
    if (machine !== undefined) return machine;
    throw refusal(operation, `sandbox ${id} does not exist`);
  }

  async #noted<T>(call: string, request: object, answer: () => Promise<T>): Promise<T> {
    const note = (outcome: string) => {
      const text = JSON.stringify({ call, request, outcome }, (_key, value: unknown) =>
        value instanceof Map ? Object.fromEntries(value) : value,
      );
      using file = open(`${this.#options.directory}/calls`, O_WRONLY | O_CREAT | O_APPEND, 0o600);
      writeAll(file.fd, utf8Encode(`${text}\n`));
    };
    try {
      const result = await answer();
      note("ok");
      return result;
    } catch (error) {
      note(describeError(error));
      throw error;
    }
  }
}

function checkRequest({ id, annotations, networkNamespacePath }: CreateVMRequest): void {
  if (id === "") throw refusal("create", "empty sandbox id");
  if (networkNamespacePath !== "" && !networkNamespacePath.startsWith("/")) {
    throw refusal("create", `netns ${networkNamespacePath}`);
  }
  for (const [name, pattern] of Object.entries(ANNOTATIONS)) {
    const value = annotations.get(name);
    if (value === undefined || !pattern.test(value)) throw refusal("create", `annotation ${name}: ${value}`);
  }
  const unknown = [...annotations.keys()].find((name) => !Object.hasOwn(ANNOTATIONS, name));
  if (unknown !== undefined) throw refusal("create", `annotation ${unknown} is not known`);
}

/** As services in Go refuse: every error is an unknown one. */
function refusal(operation: string, words: string): KataError {
  return new KataError("unknown", { operation, object: words });
}
