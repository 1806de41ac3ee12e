/** Asking the shims of this host for their pods. */
import { KataError } from "../../kata-error.ts";
import { readTextFileIfExists } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { askShim } from "../ask-shim.ts";
import { describeForeignPod, describePod, type PodDescription } from "./pod-description.ts";

/** A shim answers this from memory, ms. */
const ANSWER_MS = 5000;

/** @throws KataError if this user may not ask. */
export async function readPod(id: string): Promise<PodDescription> {
  try {
    const answer = await askShim({ sandboxId: id, method: "GET", target: "/pod", deadlineMs: ANSWER_MS });
    return describePod(id, parseJson(utf8Decode(answer)));
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    if (error.errno === "EACCES" || error.errno === "EPERM") throw error;
    // Upstream's shims have no such route.
    if (error.code === "no-route") return describeForeignPod(id, persistedState(id), true);
    // It has ended meanwhile, hangs, or is about to end: what is on the disk is told.
    return describeForeignPod(id, persistedState(id), false);
  }
}

function persistedState(id: string): unknown {
  const text = readTextFileIfExists(`/run/vc/sbs/${id}/persist.json`);
  return text === undefined ? undefined : parseJson(text);
}

/** Statistics of one container, of `GET /statistics`. */
export interface ContainerUse {
  readonly id: string;
  /** Nanoseconds. */
  readonly cpu: number;
  /** Bytes. */
  readonly memory: number;
  readonly memoryLimit: number;
  readonly pids: number;
}

/** @throws KataError `no-route` for a shim of upstream's. */
export async function readStatistics(sandboxId: string): Promise<ContainerUse[]> {
  const answer = parseJson(utf8Decode(await askShim({ sandboxId, method: "GET", target: "/statistics" })));
  if (!Array.isArray(answer))
    throw new KataError("invalid-data", { operation: "read statistics", object: sandboxId });
  return answer.filter(isUse);
}

function isUse(value: unknown): value is ContainerUse {
  if (typeof value !== "object" || value === null) return false;
  const { id, cpu, memory, memoryLimit, pids } = value as Readonly<Record<string, unknown>>;
  return typeof id === "string" && [cpu, memory, memoryLimit, pids].every((each) => typeof each === "number");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
