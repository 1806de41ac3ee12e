/**
 * Waiting for what the guest makes of a CPU or memory module that came or is to go.
 *
 * ```
 * device_add ──▶ guest: "device check" ──▶ ACPI_DEVICE_OST {device, source: 1, status}
 * device_del ──▶ guest: "eject request" ─▶ ACPI_DEVICE_OST {device, source: 3, status: in progress} … DEVICE_DELETED {device}
 *                                      or  ACPI_DEVICE_OST {device, source: 3, status: a refusal}, MEM_UNPLUG_ERROR
 * ```
 *
 * Sources: ACPI specification 6.5, tables "OST Source Event Codes" and "OST Status Codes"; QMP reference.
 */
import { KataError } from "../../../kata-error.ts";
import type { QmpClient } from "./qmp-client.ts";
import { isRecord } from "./qmp-messages.ts";

export interface Notice {
  readonly operation: string;
  /** The guest is done once this has come. */
  readonly done: "noticed" | "deleted";
  readonly source: number;
}

export const INSERTING: Notice = { operation: "plug in", done: "noticed", source: 1 };
export const EJECTING: Notice = { operation: "unplug", done: "deleted", source: 3 };

const SUCCESS = 0;
const EJECTION_IN_PROGRESS = 0x84;
const STATUS_WORDS: Readonly<Record<number, string>> = {
  1: "it failed",
  2: "it did not know the notice",
  128: "it denies that",
  129: "the device is in use",
  130: "the device is busy",
  131: "something that depends on it is busy",
};

/**
 * Does `act`, then waits until the guest is done with device `id`.
 *
 * @throws KataError `hypervisor-error` with what the guest says if it refuses, `deadline-exceeded` if it says nothing.
 */
export async function awaitGuest(
  monitor: QmpClient,
  id: string,
  notice: Notice,
  deadlineMs: number,
  act: () => Promise<unknown>,
): Promise<void> {
  let refusal = "";
  const told = monitor.nextEvent(
    "ACPI_DEVICE_OST",
    ({ info }) => {
      if (!isRecord(info) || info.device !== id || info.source !== notice.source) return false;
      const status = Number(info.status);
      if (status === SUCCESS) return notice.done === "noticed";
      if (status === EJECTION_IN_PROGRESS) return false;
      refusal = STATUS_WORDS[status] ?? `status ${status}`;
      return true;
    },
    deadlineMs,
  );
  const waits = [told];
  if (notice.done === "deleted") {
    waits.push(monitor.nextEvent("DEVICE_DELETED", ({ device }) => device === id, deadlineMs));
    const failed = monitor.nextEvent("MEM_UNPLUG_ERROR", ({ device }) => device === id, deadlineMs);
    waits.push(
      failed.then((data) => {
        refusal = String(data.msg);
        return data;
      }),
    );
  }
  // Those that lose the race end at their deadline.
  for (const wait of waits) wait.catch(() => undefined);
  await act();
  await Promise.race(waits);
  if (refusal === "") return;
  throw new KataError("hypervisor-error", {
    operation: `${notice.operation} ${id}`,
    object: `the guest says: ${refusal}`,
  });
}
