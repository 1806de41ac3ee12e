/** What /proc tells of processes and network devices, as samples. Sources: proc(5); names of items: upstream's metrics. */
import { hasErrno } from "../../kata-error.ts";
import { readDirectory, readTextFileIfExists } from "../files.ts";
import { family, type Sample } from "./prometheus-text.ts";

/** The families of one process: `PREFIX_threads`, `_proc_status`, `_proc_stat`, `_io_stat`, `_fds`; nothing once it has ended. */
export function processFamilies(prefix: string, what: string, pid: number | "self"): string {
  const directory = `/proc/${pid}`;
  const status = textOf(`${directory}/status`);
  if (status === "") return "";
  return [
    family(`${prefix}_threads`, `Threads of ${what}.`, [[{}, threadsOf(status)]]),
    family(
      `${prefix}_proc_status`,
      `Memory of ${what} in bytes, and its context switches.`,
      parseStatus(status),
    ),
    family(
      `${prefix}_proc_stat`,
      `CPU time of ${what}, clock ticks.`,
      parseStat(textOf(`${directory}/stat`)),
    ),
    family(`${prefix}_io_stat`, `Input and output of ${what}.`, parseIo(textOf(`${directory}/io`))),
    family(`${prefix}_fds`, `Open files of ${what}.`, countOf(`${directory}/fd`)),
  ].join("");
}

export function threadsOf(status: string): number {
  return Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0);
}

/** Memory (in bytes) and context switches of /proc/PID/status. */
export function parseStatus(text: string): Sample[] {
  const items = /^(Vm\w+|Rss\w+|HugetlbPages|\w+_ctxt_switches):\s+(\d+)( kB)?$/gm;
  return [...text.matchAll(items)].map(
    ([, name = "", number, unit]): Sample => [
      { item: name.toLowerCase() },
      Number(number) * (unit === undefined ? 1 : 1024),
    ],
  );
}

/** Times of /proc/PID/stat, in clock ticks. */
export function parseStat(text: string): Sample[] {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  // The first of these fields is number 3.
  const samples = (["utime", "stime", "cutime", "cstime"] as const).map(
    (item, index): Sample => [{ item }, Number(fields[14 - 3 + index])],
  );
  return samples.every(([, value]) => Number.isFinite(value)) ? samples : [];
}

/** /proc/PID/io. */
export function parseIo(text: string): Sample[] {
  return [...text.matchAll(/^(\w+): (\d+)$/gm)].map(
    ([, name = "", number]): Sample => [{ item: name.replaceAll("_", "") }, Number(number)],
  );
}

const DEVICE_COLUMNS = [
  ...["recv_bytes", "recv_packets", "recv_errs", "recv_drop", "recv_fifo", "recv_frame"],
  ...["recv_compressed", "recv_multicast", "sent_bytes", "sent_packets", "sent_errs", "sent_drop"],
  ...["sent_fifo", "sent_colls", "sent_carrier", "sent_compressed"],
];

/** /proc/net/dev. */
export function parseNetworkDevices(text: string): Sample[] {
  return text
    .split("\n")
    .slice(2)
    .flatMap((line): Sample[] => {
      const [device, rest] = line.split(":");
      if (device === undefined || rest === undefined) return [];
      const numbers = rest.trim().split(/\s+/).map(Number);
      return DEVICE_COLUMNS.map((item, index) => [{ interface: device.trim(), item }, numbers[index] ?? 0]);
    });
}

/** A file of /proc; empty if it is not there, may not be read, or its process has ended. */
export function textOf(path: string): string {
  try {
    return readTextFileIfExists(path) ?? "";
  } catch (error) {
    if (hasErrno(error, "ESRCH", "EACCES", "EPERM")) return "";
    throw error;
  }
}

function countOf(directory: string): Sample[] {
  try {
    return [[{}, readDirectory(directory).length]];
  } catch (error) {
    if (hasErrno(error, "ESRCH", "EACCES", "EPERM", "ENOENT")) return [];
    throw error;
  }
}
