/** What the command line notes of a container once it has been created, and reads again in every later call. */
import { KataError } from "../../kata-error.ts";

export interface ContainerRecord {
  readonly version: 1;
  readonly id: string;
  /** Directory of the engine's bundle, absolute. */
  readonly bundle: string;
  /** Root filesystem on the host, absolute. */
  readonly rootfs: string;
  /** When it was created, RFC 3339. */
  readonly created: string;
  /** The process that stands for the container on the host. */
  readonly pid: number;
  /** When that process was started, clock ticks after boot. */
  readonly startTime: number;
  /** Whose virtual machine it is in: its own id, or another container's. */
  readonly sandboxId: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** @throws KataError `invalid-argument` for what {@link ContainerRecord} does not describe. */
export function parseContainerRecord(text: string, object: string): ContainerRecord {
  const value = parseJson(text, object);
  const { id, bundle, rootfs, created, pid, startTime, sandboxId, annotations } = value;
  if (
    value.version !== 1 ||
    !areTexts(id, bundle, rootfs, created, sandboxId) ||
    !Number.isSafeInteger(pid) ||
    Number(pid) < 1 ||
    !Number.isSafeInteger(startTime) ||
    !isTextMap(annotations)
  ) {
    throw damaged(object);
  }
  return {
    version: 1,
    id: String(id),
    bundle: String(bundle),
    rootfs: String(rootfs),
    created: String(created),
    pid: Number(pid),
    startTime: Number(startTime),
    sandboxId: String(sandboxId),
    annotations,
  };
}

function parseJson(text: string, object: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw damaged(object);
}

function areTexts(...values: unknown[]): boolean {
  return values.every((value) => typeof value === "string");
}

function isTextMap(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === "object" && value !== null && Object.values(value).every((each) => areTexts(each));
}

function damaged(object: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read state of container",
    object,
    hint: "it is damaged; `kata-runtime delete --force` removes the container",
  });
}
