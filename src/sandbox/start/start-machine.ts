/**
 * A pod's machine by the quickest way that there is: one that is ready in the pool, a clone of a saved one, or one that is booted.
 *
 * The quick way is never a reason to fail: whatever is in its way is logged, and the machine is booted.
 */
import { describeError, hasCode } from "../../kata-error.ts";
import { throwIfCancelled } from "../../sys/cancellation.ts";
import { Rollback } from "../../sys/rollback.ts";
import { traced } from "../../sys/trace.ts";
import { HYPERVISORS } from "../hypervisor/drivers.ts";
import type { Hypervisor, MachineSpec } from "../hypervisor/types.ts";
import type { NetworkChoice } from "../network/network-choice.ts";
import { tapBringer } from "../network/pooled-network.ts";
import type { SandboxNetwork } from "../network/sandbox-network.ts";
import { type ClaimedMachine, claimMachine } from "../pool/claim.ts";
import { poolKey } from "../pool/pool-key.ts";
import type { SavedCards } from "../template/make-template.ts";
import { type SavedTemplate, TemplateStore } from "../template/template-store.ts";
import { adoptMachine } from "./adopt-machine.ts";
import { bootMachine } from "./boot-machine.ts";
import { cloneMachine } from "./clone-machine.ts";
import { cloneWithSavedMemory } from "./clone-with-saved-memory.ts";
import { provideTemplate, savable } from "./provide-template.ts";
import {
  connectNetwork,
  giveBack,
  machineSpec,
  type StartedMachine,
  type StartRequest,
} from "./start-parts.ts";

/** How a machine came to be, for the log. */
export type StartKind = "booted" | "cloned" | "pooled";

/** A clone's card for the pod's link; pods with more links are booted. */
const MAX_SAVED_CARDS = 1;
/** A start whose network is still to be joined. */
export type UnconnectedStart = Omit<StartRequest, "network"> & { readonly choice: NetworkChoice };

export interface StartedPod extends StartedMachine {
  readonly network: SandboxNetwork;
  readonly kind: StartKind;
}

/** Joins the pod's network and starts the machine. What it acquires is undone by `undo`. */
export async function startPod(start: UnconnectedStart, undo: Rollback): Promise<StartedPod> {
  const pooled = await tryThePool(start, undo);
  if (pooled !== undefined) return pooled;
  const { choice, settings, range, record } = start;
  const network = await connectNetwork(choice, settings, range.boot, record, undo);
  const connected = { ...start, network };
  const spec = await machineSpec(connected);
  const cloned = await tryToClone(connected, spec, undo);
  const started = cloned ?? (await bootMachine(connected, spec, undo));
  // Only now: a clone that fails is followed by a machine that is booted.
  network.closeDescriptors();
  return { ...started, network, kind: cloned === undefined ? "booted" : "cloned" };
}

async function tryThePool(start: UnconnectedStart, undo: Rollback): Promise<StartedPod | undefined> {
  const { request, settings, range, choice, record } = start;
  // A guest reads its initdata while it boots; and a card of the pool has a tap, which needs a link to be redirected.
  // Its monitors are root's.
  if (start.user !== undefined) return undefined;
  if (settings.pool.machines === 0 || settings.initdata !== "" || !settings.sharesFiles) return undefined;
  if (choice.kind === "described") return undefined;
  if (choice.kind !== "loopback" && settings.network.model !== "tcfilter") return undefined;
  const own = new Rollback();
  try {
    const claim = claimMachine(settings.pool.endpoint, poolKey(settings, range));
    const claimed: ClaimedMachine = await traced("shim", "claim machine", claim);
    const all = Object.values(claimed.descriptors);
    own.add("descriptors", () => all.forEach((descriptor) => void descriptor.close()));
    const { network: madeIn } = claimed.descriptors;
    const bringTap = tapBringer(madeIn.fd);
    // A pod without a namespace of its own gets the one that the monitor is in: by its process others find it.
    const joined: NetworkChoice =
      choice.kind === "new" ? { kind: "namespace", path: `/proc/self/fd/${madeIn.fd}` } : choice;
    const connecting = connectNetwork(joined, settings, range.boot, record, own, bringTap);
    const network = await traced("shim", "join network", connecting);
    const started = await adoptMachine({ ...start, network }, claimed, own);
    network.closeDescriptors();
    undo.adopt(own);
    return { ...started, network, kind: "pooled" };
  } catch (error) {
    await giveBack(own, request);
    throwIfCancelled(request.signal);
    if (isStartsFault(error, true)) throw error;
    request.logger.info("the machine does not come from the pool", { reason: describeError(error) });
    return undefined;
  }
}

async function tryToClone(
  start: StartRequest,
  spec: MachineSpec,
  undo: Rollback,
): Promise<StartedMachine | undefined> {
  const { request, settings } = start;
  // A guest reads its initdata while it boots, before the host has its first word.
  if (!settings.template.enabled || settings.initdata !== "") return undefined;
  const { copiesSavedMemory = false }: Hypervisor = HYPERVISORS[settings.driver];
  if (!settings.sharesFiles && !copiesSavedMemory) return undefined;
  const cards = savedCards(start);
  if (cards === undefined) return undefined;
  const own = new Rollback();
  let template: SavedTemplate | undefined;
  let store: TemplateStore | undefined;
  try {
    store = new TemplateStore(settings.template.path);
    const cloneSpec = savable(spec);
    template = await provideTemplate(start, cloneSpec, cards, store);
    const clone = copiesSavedMemory ? cloneWithSavedMemory : cloneMachine;
    const started = await clone(start, cloneSpec, template, own);
    undo.adopt(own);
    return started;
  } catch (error) {
    await giveBack(own, request);
    throwIfCancelled(request.signal);
    if (isStartsFault(error, template !== undefined)) throw error;
    const reason = describeError(error);
    // What does not work now will not work for the next pod: it makes a new one.
    if (template !== undefined && isTemplatesFault(error)) store?.discard(template);
    // A monitor that saves no machines is the operator's choice, and nothing to be put right.
    const level = hasCode(error, "unsupported") ? "debug" : "warn";
    request.logger[level]("the machine is booted instead of cloned", { reason });
    return undefined;
  } finally {
    template?.[Symbol.dispose]();
  }
}

/** Whether a machine that is booted would fail as well: for the pod's own sake, or since its guest does not come up. */
function isStartsFault(error: unknown, hasTemplate: boolean): boolean {
  if (!hasTemplate) return hasCode(error, "boot-failed", "invalid-configuration");
  return hasCode(error, "busy", "unsupported", "not-found", "invalid-configuration", "invalid-argument");
}

/** Whether it was the saved machine that did not come up, and not something else of the start. */
function isTemplatesFault(error: unknown): boolean {
  return hasCode(
    error,
    "hypervisor-error",
    "boot-failed",
    "deadline-exceeded",
    "unavailable",
    "malformed-message",
  );
}

/** The cards of a machine that the pod's can be a clone of; undefined if they cannot be saved. */
function savedCards({ network }: StartRequest): SavedCards | undefined {
  const [card] = network.devices;
  if (card === undefined) return { count: 0, queues: 1 };
  // Other cards are known by their other ends, and a saved machine knows one by its name alone.
  if (network.devices.length > MAX_SAVED_CARDS || card.backend.kind !== "tap") return undefined;
  return { count: 1, queues: card.backend.queues.length };
}
