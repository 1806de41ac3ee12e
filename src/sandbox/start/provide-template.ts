/** The template that a machine is cloned from: found, waited for, or made. */
import { describeError, KataError } from "../../kata-error.ts";
import { orCancelled } from "../../sys/cancellation.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { HYPERVISORS, type HypervisorName } from "../hypervisor/drivers.ts";
import type { MachineSpec } from "../hypervisor/types.ts";
import { placeholderCard } from "../network/silent-network.ts";
import { makeTemplate, type SavedCards } from "../template/make-template.ts";
import type { SavedTemplate, TemplateStore } from "../template/template-store.ts";
import type { StartRequest } from "./start-parts.ts";

/** Another shim's template is waited for this long, ms; to boot a machine beside it would take it as much time as its own. */
const OTHERS_TEMPLATE_MS = 60_000;
const LOOK_AGAIN_MS = 20;

/** A machine that is saved has one port more than the configuration says: its clones' shared directory is plugged in. */
export function savable<Spec extends { readonly hotPlugSlots: number }>(spec: Spec): Spec {
  return { ...spec, hotPlugSlots: spec.hotPlugSlots + 1 };
}

/** The template for `spec`, made if there is none. @throws KataError with the reason why there is none. */
export async function provideTemplate(
  { request, settings }: Pick<StartRequest, "request" | "settings">,
  spec: MachineSpec,
  cards: SavedCards,
  store: TemplateStore,
): Promise<SavedTemplate> {
  const { logger } = request;
  const fingerprint = await templateFingerprint(settings.driver, spec, cards);
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
export async function templateFingerprint(
  driver: HypervisorName,
  spec: MachineSpec,
  { count, queues }: SavedCards,
): Promise<string> {
  const devices = Array.from({ length: count }, (_, index) => placeholderCard(index, queues));
  const found = await HYPERVISORS[driver].fingerprint({ ...spec, devices });
  if (found.kind === "fingerprint") return found.text;
  throw new KataError("unsupported", { operation: "save machine", object: found.reason });
}
