/**
 * Saving a machine's state and going on from it: a migration whose other end is a file.
 *
 * Memory that QEMU shares with a file is left out of the stream (`x-ignore-shared`), so that it holds what devices and processors
 * know, some hundred KiB. The one who goes on has to have the same command line, device by device.
 * Source: QEMU documentation, "Migration"; QMP reference, migrate, migrate-incoming.
 */
import { KataError } from "../../../kata-error.ts";
import type { QmpClient } from "./qmp-client.ts";

/** The devices' state is written in some ten milliseconds; a busy host takes its time. */
const SAVE_DEADLINE_MS = 20_000;
const RESTORE_DEADLINE_MS = 20_000;

/** The name by which QEMU knows the file that it saves to. */
const STATE_NAME = "state";

const CAPABILITIES = {
  capabilities: [
    { capability: "x-ignore-shared", state: true },
    { capability: "events", state: true },
  ],
} as const;

/** Writes the state into `file` and leaves the machine stopped. */
export async function saveState(monitor: QmpClient, file: number): Promise<void> {
  const ended = monitor.nextEvent(
    "MIGRATION",
    ({ status }) => status === "completed" || status === "failed",
    SAVE_DEADLINE_MS,
  );
  ended.catch(() => undefined);
  await monitor.execute("migrate-set-capabilities", CAPABILITIES);
  await monitor.execute("getfd", { fdname: STATE_NAME }, { descriptors: [file] });
  await monitor.execute("migrate", { uri: `fd:${STATE_NAME}` });
  const { status } = await ended;
  if (status !== "completed") {
    throw new KataError("hypervisor-error", { operation: "save machine", object: "QEMU could not write it" });
  }
}

/**
 * Goes on from the state in the file that QEMU has as descriptor `inherited`, once `memoryReady` settles. The machine ran when it
 * was saved, and runs again when this settles.
 *
 * @throws KataError `unavailable` if QEMU refuses the state: it ends then, with its reason as its last words.
 */
export async function restoreState(
  monitor: QmpClient,
  inherited: number,
  memoryReady: Promise<void>,
): Promise<void> {
  const running = monitor.nextEvent("RESUME", () => true, RESTORE_DEADLINE_MS);
  running.catch(() => undefined);
  const prepared = monitor.execute("migrate-set-capabilities", CAPABILITIES);
  await Promise.all([prepared, memoryReady]);
  await monitor.execute("migrate-incoming", { uri: `fd:${inherited}` });
  await running;
}
