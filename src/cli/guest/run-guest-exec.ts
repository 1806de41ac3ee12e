/** `exec` in a guest itself, beside its containers: a shell, or a command. */
import { describeError, hasCode, KataError } from "../../kata-error.ts";
import { loop } from "../../sys/event-loop.ts";
import { listenForSignals, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH } from "../../sys/process.ts";
import { environment, writeSync } from "../../sys/program.ts";
import { getWindowSize, isTerminal, setRawMode } from "../../sys/terminal.ts";
import { numberFlag } from "../flag-values.ts";
import { findSandbox } from "../sandboxes/sandbox-directories.ts";
import type { CommandContext } from "../types.ts";
import { consoleSession } from "./console-session.ts";
import { GUEST_PATH, GuestProcess } from "./guest-process.ts";
import { readStandardInput } from "./standard-input.ts";

const [STDIN, STDOUT, STDERR] = [0, 1, 2];
const CHUNK_BYTES = 32 << 10;
/** As docker's and podman's. */
const EXIT_NOT_RUN = 125;
const EXIT_NOT_PERMITTED = 126;
const EXIT_NOT_FOUND = 127;
/** Where upstream's agent offers its console. */
const DEBUG_CONSOLE_PORT = 1026;

/** @returns the exit status of the command; 125, 126 or 127 if it was not run. */
export async function runGuestExec({ program, operands, flags, output }: CommandContext): Promise<number> {
  const [word = "", ...rest] = operands;
  const args = rest[0] === "--" ? rest.slice(1) : rest;
  try {
    const sandboxId = findSandbox(word);
    const port = numberFlag(flags, "kata-debug-port");
    if (port !== undefined) return await consoleSession(sandboxId, port, args);
    try {
      return await throughShim(sandboxId, args);
    } catch (error) {
      if (!hasCode(error, "no-route")) throw error;
      return await consoleSession(sandboxId, DEBUG_CONSOLE_PORT, args);
    }
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    output.progress(`${program}: ${describeError(error)}\n`);
    if (hasCode(error, "executable-not-found")) return EXIT_NOT_FOUND;
    return hasCode(error, "executable-not-permitted") ? EXIT_NOT_PERMITTED : EXIT_NOT_RUN;
  }
}

async function throughShim(sandboxId: string, args: readonly string[]): Promise<number> {
  // A command whose output goes to a file or another program is to be byte for byte what it writes.
  const terminal = isTerminal(STDIN) && (args.length === 0 || isTerminal(STDOUT));
  const size = terminal ? getWindowSize(STDIN) : { rows: 0, columns: 0 };
  using process = await GuestProcess.start(sandboxId, {
    // The shell of a guest may have its programs in itself.
    args: args.length === 0 ? ["sh"] : ["sh", "-c", '"$@"', "sh", ...args],
    env: [GUEST_PATH, "HOME=/root", `TERM=${environment.TERM ?? "linux"}`],
    terminal,
    ...size,
  });
  using _raw = terminal ? setRawMode(STDIN) : undefined;
  using _signals = listenForSignals([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH], (signal) => {
    const frame =
      signal !== SIGWINCH
        ? { kind: "signal" as const, signal }
        : terminal
          ? { kind: "size" as const, ...getWindowSize(STDIN) }
          : undefined;
    // Once the process has ended nobody takes it.
    if (frame !== undefined) process.send(frame).catch(unlessClosed);
  });
  sendInput(process).catch(unlessClosed);
  try {
    return await process.run((kind, bytes) => writeSync(kind === "stdout" ? STDOUT : STDERR, bytes));
  } finally {
    // Nobody waits for a key to be pressed any more.
    loop.forget(STDIN);
  }
}

async function sendInput(process: GuestProcess): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const count = await readStandardInput(chunk);
    await process.send({ kind: "stdin", bytes: chunk.slice(0, count) });
    if (count === 0) return;
  }
}

function unlessClosed(error: unknown): void {
  if (!hasCode(error, "closed", "system-call")) throw error;
}
