/**
 * Signals by name and number, the same on x86_64 and aarch64.
 * Source: signal(7), asm-generic/signal.h.
 */

const NAMES =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";

/** Signal n is at index n − 1, without `SIG`. */
const NUMBERS: ReadonlyMap<string, number> = new Map(
  NAMES.split(" ").map((name, index) => [name, index + 1]),
);

const ALIASES: ReadonlyMap<string, string> = new Map([
  ["IOT", "ABRT"],
  ["CLD", "CHLD"],
  ["POLL", "IO"],
]);

/** The first and last real-time signal, as a C library shows them: the two below are its own. */
export const SIGRTMIN = 34;
export const SIGRTMAX = 64;

/**
 * The number of a signal written as people do: `SIGTERM`, `term`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
 *
 * @returns undefined if there is no such signal. 0, which only asks whether a process is there, is none.
 */
export function signalNumber(text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) return inRange(Number(text), 1);
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper.slice(3) : upper;
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime !== null) {
    const base = realTime[1] === "MIN" ? SIGRTMIN : SIGRTMAX;
    const offset = Number(realTime[3] ?? 0);
    return inRange(realTime[2] === "-" ? base - offset : base + offset, SIGRTMIN);
  }
  return NUMBERS.get(ALIASES.get(name) ?? name);
}

function inRange(number: number, min: number): number | undefined {
  return number >= min && number <= SIGRTMAX ? number : undefined;
}

/** `SIGTERM` for 15, `SIGRTMIN+3` for 37; the number itself if it has no name. */
export function signalName(number: number): string {
  for (const [name, value] of NUMBERS) if (value === number) return `SIG${name}`;
  if (number === SIGRTMIN) return "SIGRTMIN";
  return number > SIGRTMIN && number <= SIGRTMAX ? `SIGRTMIN+${number - SIGRTMIN}` : String(number);
}
