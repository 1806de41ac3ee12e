/** What has gone over the network interfaces. Source: proc_pid_net(5), /proc/net/dev. */
import { readTextFile } from "../../sys/files.ts";

export interface DirectionCounters {
  readonly bytes: bigint;
  readonly packets: bigint;
  readonly errors: bigint;
  readonly dropped: bigint;
}

export interface InterfaceCounters {
  readonly name: string;
  readonly received: DirectionCounters;
  readonly transmitted: DirectionCounters;
}

/** Most interfaces that are told of: a pod has a handful, and a container with the right can make any number. */
const MAX_INTERFACES = 64;

/** The counters of all interfaces but `lo`. */
export function readInterfaceCounters(): InterfaceCounters[] {
  return parseInterfaceCounters(readTextFile("/proc/self/net/dev"));
}

/** Two lines of headings, then `name: ` with 8 numbers of what was received and 8 of what was sent. */
export function parseInterfaceCounters(text: string): InterfaceCounters[] {
  const counters: InterfaceCounters[] = [];
  for (const line of text.split("\n")) {
    const colon = line.lastIndexOf(":");
    const numbers = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/);
    const name = line.slice(0, colon).trim();
    if (colon < 0 || name === "lo" || numbers.length < 16 || counters.length >= MAX_INTERFACES) continue;
    if (!numbers.every((number) => /^\d{1,20}$/.test(number))) continue;
    counters.push({ name, received: direction(numbers, 0), transmitted: direction(numbers, 8) });
  }
  return counters;
}

function direction(numbers: readonly string[], first: number): DirectionCounters {
  const [bytes = 0n, packets = 0n, errors = 0n, dropped = 0n] = numbers.slice(first, first + 4).map(BigInt);
  return { bytes, packets, errors, dropped };
}
