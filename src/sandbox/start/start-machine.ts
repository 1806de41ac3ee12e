/**
 * A pod's machine by the quickest way that there is: a clone of a saved machine, or one that is booted.
 *
 * The quick way is never a reason to fail: whatever is in its way is logged, and the machine is booted.
 */
import { describeError, hasCode, KataError } from "../../kata-error.ts";
import { orCancelled, throwIfCancelled } from "../../sys/cancellation.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { Rollback } from "../../sys/rollback.ts";
import { HYPERVISORS, type HypervisorName } from "../hypervisor/drivers.ts";
import type { MachineSpec } from "../hypervisor/types.ts";
import { placeholderCard } from "../network/silent-network.ts";
import { makeTemplate, type SavedCards } from "../template/make-template.ts";
import { type SavedTemplate, TemplateStore } from "../template/template-store.ts";
import { bootMachine } from "./boot-machine.ts";
import { cloneMachine } from "./clone-machine.ts";
import { giveBack, machineSpec, type StartedMachine, type StartRequest } from "./start-parts.ts";

/** How a machine came to be, for the log. */
export type StartKind = "booted" | "cloned";

/** A clone's card for the pod's link; pods with more links are booted. */
const MAX_SAVED_CARDS = 1;
/** Another shim's template is waited for this long, ms; to boot a machine beside it would take it as much time as its own. */
const OTHERS_TEMPLATE_MS = 60_000;
const LOOK_AGAIN_MS = 20;

/** Starts the machine. What it acquires is undone by `undo`. */
export async function startMachine(
  start: StartRequest,
  undo: Rollback,
): Promise<StartedMachine & { readonly kind: StartKind }> {
  const spec = await machineSpec(start);
  const cloned = await tryToClone(start, spec, undo);
  const started = cloned ?? (await bootMachine(start, spec, undo));
  // Only now: a clone that fails is followed by a machine that is booted.
  start.network.closeDescriptors();
  return { ...started, kind: cloned === undefined ? "booted" : "cloned" };
}

async function tryToClone(
  start: StartRequest,
  spec: MachineSpec,
  undo: Rollback,
): Promise<StartedMachine | undefined> {
  const { request, settings } = start;
  // A guest reads its initdata while it boots, before the host has its first word.
  if (!settings.template.enabled || settings.initdata !== "" || !settings.sharesFiles) return undefined;
  const cards = savedCards(start);
  if (cards === undefined) return undefined;
  const own = new Rollback();
  let template: SavedTemplate | undefined;
  let store: TemplateStore | undefined;
  try {
    store = new TemplateStore(settings.template.path);
    // One more port than the configuration says: the shared directory is plugged in.
    const cloneSpec = { ...spec, hotPlugSlots: spec.hotPlugSlots + 1 };
    template = await provideTemplate(start, cloneSpec, cards, store);
    const started = await cloneMachine(start, cloneSpec, template, own);
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

/** The template for `spec`, made if there is none. @throws KataError with the reason why there is none. */
async function provideTemplate(
  start: StartRequest,
  spec: MachineSpec,
  cards: SavedCards,
  store: TemplateStore,
): Promise<SavedTemplate> {
  const { request, settings } = start;
  const { logger } = request;
  const fingerprint = templateFingerprint(settings.driver, spec, cards);
  store.prepare();
  const onDamage = (reason: string) => logger.warn("a damaged template is made again", { reason });
  const deadline = loop.now() + OTHERS_TEMPLATE_MS;
  for (;;) {
    const found = store.find(fingerprint, onDamage);
    if (found !== undefined) return found;
    const failure = store.failure(fingerprint);
    if (failure !== undefined) {
      throw new KataError("unavailable", {
        operation: "use template",
        object: `the last try failed: ${failure}`,
        hint: "kata-runtime factory init tries again",
      });
    }
    using lock = store.lock(fingerprint);
    if (lock !== undefined) {
      const madeMeanwhile = store.find(fingerprint, onDamage);
      if (madeMeanwhile !== undefined) return madeMeanwhile;
      await makeOrNote({
        hypervisor: HYPERVISORS[settings.driver],
        spec,
        cards,
        fingerprint,
        store,
        settings,
        logger,
      });
      continue;
    }
    if (loop.now() > deadline) {
      throw new KataError("deadline-exceeded", {
        operation: "wait for template",
        object: "another process is making it",
      });
    }
    await orCancelled(sleep(loop, LOOK_AGAIN_MS), request.signal);
  }
}

/** Makes a template, or notes for the others why not. */
export async function makeOrNote(request: Parameters<typeof makeTemplate>[0]): Promise<void> {
  try {
    await makeTemplate(request);
  } catch (error) {
    request.store.noteFailure(request.fingerprint, describeError(error));
    throw error;
  }
}

/** What a template of `spec` with `cards` network cards depends on. @throws KataError `unsupported`. */
export function templateFingerprint(
  driver: HypervisorName,
  spec: MachineSpec,
  { count, queues }: SavedCards,
): string {
  const devices = Array.from({ length: count }, (_, index) => placeholderCard(index, queues));
  const found = HYPERVISORS[driver].fingerprint({ ...spec, devices });
  if (found.kind === "fingerprint") return found.text;
  throw new KataError("unsupported", { operation: "save machine", object: found.reason });
}
