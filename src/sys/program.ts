/**
 * What every program of the engine host begins with: the loop is hung in, and an error that nobody caught ends the
 * program with a stack of TypeScript files and lines.
 */
import { KataError } from "../kata-error.ts";
import { loop } from "./event-loop.ts";
import { kernel } from "./kernel.ts";
import { nativeHost } from "./native.ts";
import { mapStack } from "./source-lines.ts";
import { utf8Encode } from "./utf8.ts";

/** Exit status after an uncaught error; the engine host's own is the same. */
const EXIT_UNCAUGHT = 70;

/** Arguments after the program's name. */
export const programArguments: readonly string[] = nativeHost?.argv.slice(1) ?? [];

/** The name that the program was started by. */
export const programName: string = nativeHost?.argv[0] ?? "";

/** The environment at the start; of a name that occurs twice, the last counts. */
export const environment: Readonly<Record<string, string>> = readEnvironment(nativeHost?.environ ?? []);

function readEnvironment(entries: readonly string[]): Record<string, string> {
  const variables: Record<string, string> = Object.create(null);
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    if (equals > 0) variables[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  return variables;
}

/** Writes `text` to a descriptor, whatever it takes; used where there is no loop any more, or not yet. */
export function writeSync(fd: number, text: string | Uint8Array): void {
  let bytes = typeof text === "string" ? utf8Encode(text) : text;
  while (bytes.length > 0) {
    const written = kernel().syscall("write", fd, bytes, bytes.length);
    // EINTR and EAGAIN: a terminal or pipe that is full will drain; anything else cannot be told to anybody.
    if (written === -4 || written === -11) continue;
    if (written <= 0) return;
    bytes = bytes.subarray(written);
  }
}

/** Ends the process at once with `status` (0–255). */
export function exit(status: number): never {
  kernel().syscall("exit_group", status);
  throw new KataError("internal", { operation: "exit", object: "the process goes on" });
}

/** An error with its stack in TypeScript lines and the stacks of its causes, for a log. */
export function formatError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stack = mapStack(error.stack ?? "");
  const cause = error.cause === undefined ? "" : `caused by: ${formatError(error.cause)}`;
  return `${error.name}: ${error.message}\n${stack}${cause}`;
}

/**
 * Runs `main` and the loop after it.
 *
 * `main`'s result is the exit status once nothing is left to wait for. An error that leaves it, or that a callback or
 * an unattended promise throws, is printed by `onFatal` (by default to stderr with its stack) and ends the process with
 * status 70.
 */
export function runProgram(
  main: () => Promise<number>,
  onFatal: (error: unknown) => void = (error) => writeSync(2, `${formatError(error)}`),
): void {
  const host = nativeHost;
  if (host === undefined) {
    throw new KataError("unavailable", { operation: "run program", object: "this is not the engine host" });
  }
  const unattended = new Map<Promise<unknown>, unknown>();
  let status = 0;
  const fail = (error: unknown): never => {
    onFatal(error);
    return exit(EXIT_UNCAUGHT);
  };
  host.onUncaught = fail;
  host.onRejection = (promise, reason, handled) => {
    if (handled) unattended.delete(promise);
    else unattended.set(promise, reason);
  };
  host.tick = () => {
    // All promise jobs have run: what is still unattended stays so.
    for (const reason of unattended.values()) fail(reason);
    if (loop.turn()) return true;
    return exit(status);
  };
  main().then((result) => {
    status = result;
  }, fail);
}
