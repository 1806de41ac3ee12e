/**
 * A shell in the guest for who looks for a fault (`agent.debug_console`): on the console, or for each connection to a vsock
 * port (`agent.debug_console_vport`). The image must have been built with one.
 * Source: upstream kata-agent, debug console.
 */
import { describeError, KataError } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { exists, mkdirIfMissing, O_NOCTTY, O_RDWR, open } from "../../sys/files.ts";
import type { Logger } from "../../sys/log.ts";
import { moveMountTo, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { accept, listen, VMADDR_CID_ANY } from "../../sys/socket.ts";
import { type ChildProcess, spawn } from "../../sys/spawn.ts";
import { openTerminal, setControllingTerminal } from "../../sys/terminal.ts";

const SHELL = "/bin/sh";
/** A shell that ends at once must not keep the machine busy, ms. */
const RESTART_PAUSE_MS = 1000;
/** Copied at once, bytes. */
const CHUNK_BYTES = 4096;

/** Lets the shells of the initial file system, and what is beside them, appear in /bin. */
export function showShell(initialRoot: number): void {
  if (exists(SHELL)) return;
  mkdirIfMissing("/bin");
  using programs = openTree(initialRoot, "bin", OPEN_TREE_CLONE);
  moveMountTo(programs.fd, "/bin");
}

/** Offers the shell until the machine ends. @param port 0 for the console. */
export async function offerShell(port: number, logger: Logger): Promise<void> {
  if (!exists(SHELL)) {
    throw new KataError("not-found", {
      operation: "start debug console",
      object: SHELL,
      hint: "build the image with --debug-shell",
    });
  }
  if (port === 0) await shellsOnConsole();
  else await shellsOnPort(port, logger);
}

async function shellsOnConsole(): Promise<never> {
  for (;;) {
    {
      using console = open("/dev/console", O_RDWR | O_NOCTTY);
      const shell = await startShell(console);
      await shell.exited;
    }
    await sleep(loop, RESTART_PAUSE_MS);
  }
}

async function shellsOnPort(port: number, logger: Logger): Promise<never> {
  const socket = listen({ kind: "vsock", cid: VMADDR_CID_ANY, port });
  for (;;) {
    const connection = await accept(socket);
    attendShell(connection).catch((error: unknown) =>
      logger.warn("debug console", { error: describeError(error) }),
    );
  }
}

/** A shell on `terminal`, which is its controlling one. */
function startShell(terminal: FileDescriptor): Promise<ChildProcess> {
  return spawn({
    path: SHELL,
    args: ["sh", "-i"],
    environment: ["PATH=/sbin:/bin:/usr/sbin:/usr/bin", "HOME=/root", "TERM=linux"],
    descriptors: [terminal.fd, terminal.fd, terminal.fd],
    workingDirectory: "/",
    newSession: true,
    prepare: () => setControllingTerminal(terminal.fd),
  });
}

/** Runs a shell whose terminal is `connection`, until either ends. */
export async function attendShell(connection: FdStream): Promise<void> {
  const { master, slave } = openTerminal();
  const terminal = new FdStream(master);
  try {
    const shell = await startShell(slave);
    slave.close();
    // Whoever ends first ends the others: a closed terminal hangs its shell up.
    await Promise.race([copy(connection, terminal), copy(terminal, connection), shell.exited]);
  } finally {
    slave.close();
    terminal.close();
    connection.close();
  }
}

async function copy(from: FdStream, to: FdStream): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  try {
    for (;;) {
      const count = await from.read(chunk);
      if (count === 0) return;
      await to.write(chunk.subarray(0, count));
    }
  } catch (error) {
    // A terminal without a program answers EIO, an end that was closed meanwhile `closed`: both are its end.
    if (!(error instanceof KataError)) throw error;
  }
}
