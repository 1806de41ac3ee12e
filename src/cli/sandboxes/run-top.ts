/** `top`: what sandboxes and their containers use, once or again and again. */
import { KataError } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { parseStat, textOf } from "../../sys/metrics/process-figures.ts";
import { isTerminal } from "../../sys/terminal.ts";
import { tableLines } from "../azure/table-text.ts";
import { numberFlag } from "../flag-values.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import type { PodDescription } from "./pod-description.ts";
import { type ContainerUse, readPod, readStatistics } from "./read-pods.ts";
import { findSandbox, sandboxIds } from "./sandbox-directories.ts";

const TICKS_PER_SECOND = 100;
const DEFAULT_INTERVAL_SECONDS = 2;
/** Between the two readings that a rate needs, if the table is shown once, ms. */
const SHORTEST_INTERVAL_MS = 500;
const STDOUT = 1;
const CLEAR = "\x1b[H\x1b[2J";
const SHORT_ID_LENGTH = 12;
const BYTES_PER_MEBIBYTE = 1 << 20;

/** Of one sandbox or container, at one moment. */
interface Reading {
  readonly id: string;
  readonly name: string;
  readonly kind: "sandbox" | "container";
  /** Processor time so far, seconds. */
  readonly seconds: number;
  /** Bytes. */
  readonly memory: number;
  /** Bytes; 0 for none. */
  readonly limit: number;
  readonly pids: number;
}

/** What is shown of it. */
export interface Row extends Omit<Reading, "seconds"> {
  /** Percent of one processor. */
  readonly cpu: number;
}

/** @throws KataError `not-found` for a word that names no sandbox. */
export async function runTop({ operands, flags, output }: CommandContext): Promise<number> {
  const named = operands.map((word) => findSandbox(word));
  const ids = () => (named.length > 0 ? named : sandboxIds());
  const once = flags.has("no-stream") || flags.has("json") || !isTerminal(STDOUT);
  const interval = (numberFlag(flags, "interval") ?? DEFAULT_INTERVAL_SECONDS) * 1000;
  let before = { at: loop.now(), readings: await readAll(ids()) };
  for (;;) {
    await sleep(loop, once ? SHORTEST_INTERVAL_MS : Math.max(interval, SHORTEST_INTERVAL_MS));
    const now = { at: loop.now(), readings: await readAll(ids()) };
    const rows = ratesOf(before.readings, now.readings, (now.at - before.at) / 1000);
    if (flags.has("json")) output.data(`${JSON.stringify(rows, null, 2)}\n`);
    else output.data(`${once ? "" : CLEAR}${tableOf(rows)}`);
    if (once) return EXIT_OK;
    before = now;
  }
}

/** @param seconds between the two readings. */
export function ratesOf(before: readonly Reading[], now: readonly Reading[], seconds: number): Row[] {
  return now.map(({ seconds: used, ...reading }) => {
    const last = before.find(({ id, kind }) => id === reading.id && kind === reading.kind);
    const share = last === undefined || seconds <= 0 ? 0 : Math.max(0, used - last.seconds) / seconds;
    return { ...reading, cpu: Math.round(share * 1000) / 10 };
  });
}

function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ kind, id, name, cpu, memory, limit, pids }) => [
    `${kind === "container" ? "  " : ""}${id.slice(0, SHORT_ID_LENGTH)}`,
    name || "-",
    `${cpu.toFixed(1)}%`,
    mebibytes(memory),
    limit === 0 ? "-" : mebibytes(limit),
    String(pids),
  ]);
  return tableLines(["SANDBOX", "NAME", "CPU", "MEMORY", "LIMIT", "PROCESSES"], lines);
}

function mebibytes(bytes: number): string {
  return `${(bytes / BYTES_PER_MEBIBYTE).toFixed(1)}MiB`;
}

async function readAll(ids: readonly string[]): Promise<Reading[]> {
  const pods = await Promise.all(
    ids.map(async (id) => {
      const pod = await readPod(id);
      return pod.state === "unreachable" ? [] : [onHost(pod), ...(await inGuest(pod))];
    }),
  );
  return pods.flat();
}

/** The programs on the host: what the sandbox costs it. */
function onHost({ id, namespace, name, processes, shimPid, memoryMib }: PodDescription): Reading {
  const pids = [...processes.map(({ pid }) => pid), shimPid].filter((pid) => pid > 0);
  let [seconds, memory] = [0, 0];
  for (const pid of pids) {
    for (const [{ item }, ticks] of parseStat(textOf(`/proc/${pid}/stat`))) {
      if (item === "utime" || item === "stime") seconds += ticks / TICKS_PER_SECOND;
    }
    memory += Number(/^VmRSS:\s+(\d+) kB$/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
  }
  const shown = namespace === "" ? name : `${namespace}/${name}`;
  return {
    id,
    name: shown,
    kind: "sandbox",
    seconds,
    memory,
    limit: memoryMib * BYTES_PER_MEBIBYTE,
    pids: pids.length,
  };
}

async function inGuest({ id }: PodDescription): Promise<Reading[]> {
  try {
    return (await readStatistics(id)).map(readingOf);
  } catch (error) {
    // A shim of upstream's does not tell; a pod may end meanwhile.
    if (!(error instanceof KataError)) throw error;
    return [];
  }
}

/** More than any machine has: what the kernel says where nothing is limited. */
const NO_LIMIT = 2 ** 53;

function readingOf({ id, cpu, memory, memoryLimit, pids }: ContainerUse): Reading {
  const limit = memoryLimit >= NO_LIMIT ? 0 : memoryLimit;
  return { id, name: "", kind: "container", seconds: cpu / 1e9, memory, limit, pids };
}
