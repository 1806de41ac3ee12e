/**
 * Making a template: a machine is booted for it, prepared as far as every pod needs it, and saved.
 *
 * It has no pod's data and no way out: no share, and a network card whose other end nobody listens to.
 */
import { KataError } from "../../kata-error.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { Rollback } from "../../sys/rollback.ts";
import { shmStorage } from "../guest-setup.ts";
import type { Hypervisor, MachineSpec } from "../hypervisor/types.ts";
import { SilentNetwork } from "../network/silent-network.ts";
import type { SandboxSettings } from "../settings.ts";
import { reachAgent } from "../start/reach-agent.ts";
import { watchStart } from "../start/start-parts.ts";
import type { Logger } from "../types.ts";
import type { TemplateStore } from "./template-store.ts";

/** Network cards of a machine that is saved. */
export interface SavedCards {
  /** 0 or 1. */
  readonly count: number;
  /** Queue pairs of each. */
  readonly queues: number;
}

export interface TemplateRequest {
  readonly hypervisor: Hypervisor;
  /** The machine, without devices. */
  readonly spec: MachineSpec;
  readonly cards: SavedCards;
  readonly fingerprint: string;
  readonly store: TemplateStore;
  readonly settings: SandboxSettings;
  readonly logger: Logger;
}

/** The feature of an agent that can be cloned; upstream's has it not. */
const FEATURE = "machine-identity";
/** Loading modules and mounting, in an emulated guest on a busy host, ms. */
const PREPARE_DEADLINE_MS = 60_000;

/** Makes the template and publishes it. @throws KataError; nothing is left then. */
export async function makeTemplate(request: TemplateRequest): Promise<void> {
  const { hypervisor, store, fingerprint, logger } = request;
  const began = loop.now();
  const undo = new Rollback();
  try {
    using unfinished = store.begin(fingerprint, request.spec.memoryMib);
    const network = request.cards.count === 0 ? undefined : SilentNetwork.make();
    undo.add("network", () => network?.close());
    const spec = templateSpec(request, network);
    const origin = { kind: "template", memory: unfinished.memory.fd } as const;
    const machine = await hypervisor.boot(spec, { clock: loop, logger }, origin);
    undo.add("virtual machine", () => machine.stop());
    const watch = watchStart(machine, request.settings);
    const prepared = async () => {
      const agent = await reachAgent(machine, watch, request.settings.dialTimeoutMs);
      undo.add("connection to the agent", () => agent.close());
      await mustBeCloneable(agent.calls);
      await agent.calls.createSandbox(
        {
          hostname: "",
          dns: [],
          storages: [shmStorage()],
          sandboxPidns: false,
          sandboxId: "",
          kernelModules: [],
          prepare: true,
        },
        { timeoutMs: PREPARE_DEADLINE_MS },
      );
    };
    await Promise.race([prepared(), watch.ended]);
    await machine.save(unfinished.state.fd);
    await machine.stop();
    unfinished.publish();
    logger.info("template was made", { ms: Math.round(loop.now() - began), memory_mib: spec.memoryMib });
  } finally {
    const what = { operation: "end template's machine", object: fingerprint.slice(0, 40) };
    await withDeadline(loop, PREPARE_DEADLINE_MS, what, undo.run());
  }
}

/** The template's machine: as the clones', but for what is on the host's side of its devices. */
function templateSpec({ spec, cards }: TemplateRequest, network: SilentNetwork | undefined): MachineSpec {
  return {
    ...spec,
    id: "template",
    // Nothing of a pod runs in it, and its memory is a file of root's.
    user: undefined,
    networkNamespace: network?.path,
    cgroups: [],
    devices:
      network === undefined
        ? []
        : Array.from({ length: cards.count }, (_, index) => network.card(index, cards.queues)),
  };
}

interface DetailsCall {
  readonly getGuestDetails: (
    request: { readonly memBlockSize: boolean; readonly memHotplugProbe: boolean },
    options: { readonly timeoutMs: number },
  ) => Promise<{
    readonly agentDetails?: { readonly extraFeatures: readonly string[] } | undefined;
  }>;
}

async function mustBeCloneable(calls: DetailsCall): Promise<void> {
  const question = { memBlockSize: false, memHotplugProbe: false };
  const { agentDetails } = await calls.getGuestDetails(question, { timeoutMs: PREPARE_DEADLINE_MS });
  if (agentDetails?.extraFeatures.includes(FEATURE)) return;
  throw new KataError("unsupported", {
    operation: "make template",
    object: "the guest's agent",
    hint: "it cannot become a machine of its own; use this version's image",
  });
}
