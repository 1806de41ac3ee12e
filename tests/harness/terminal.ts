/**
 * A program on a terminal that a test types into and reads from.
 *
 * The pseudo-terminal is made by `script` (util-linux, on every Debian machine); its size is changed from outside by `stty`,
 * upon which the kernel sends SIGWINCH to the program.
 */
import { readlinkSync } from "node:fs";
import { type LiveCommand, mustRun, startCommand } from "./command.ts";
import { eventually } from "./eventually.ts";
import { listProcesses, type ProcessEntry } from "./processes.ts";

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** A program on its terminal; the end of its scope kills it. */
export interface Terminal extends AsyncDisposable {
  /** stdin and stdout are the terminal's other end; exit status is the program's. */
  readonly live: LiveCommand;
  resize(size: TerminalSize): Promise<void>;
}

const START_DEADLINE_MS = 10_000;

/** Starts `argv` on a new terminal of `size` and waits until it has it. */
export async function startInTerminal(
  argv: readonly string[],
  size: TerminalSize,
  env: NodeJS.ProcessEnv,
): Promise<Terminal> {
  const line = argv.map(quote).join(" ");
  const sized = `stty rows ${size.rows} columns ${size.columns}; exec ${line}`;
  const live = startCommand("script", ["--quiet", "--flush", "--return", "--command", sized, "/dev/null"], {
    env: { ...env, SHELL: "/bin/sh", TERM: "xterm" },
  });
  try {
    const device = await eventually("terminal of the program", START_DEADLINE_MS, () =>
      terminalBelow(live.pid),
    );
    return {
      live,
      async resize({ rows, columns }) {
        await mustRun("stty", ["-F", device, "rows", `${rows}`, "columns", `${columns}`]);
      },
      [Symbol.asyncDispose]: () => live[Symbol.asyncDispose](),
    };
  } catch (error) {
    await live[Symbol.asyncDispose]();
    throw error;
  }
}

/** The terminal that a child of `pid` has as its standard input, such as /dev/pts/3. */
function terminalBelow(pid: number): string | undefined {
  const child = listProcesses().find((entry: ProcessEntry) => entry.parent === pid);
  if (child === undefined) return undefined;
  try {
    const device = readlinkSync(`/proc/${child.pid}/fd/0`);
    return device.startsWith("/dev/pts/") ? device : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** `word` as one word of a POSIX shell. */
function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
