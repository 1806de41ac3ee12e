/**
 * The terminal of a container on the host: a pseudo terminal whose user's side goes to the engine through its console socket.
 *
 * The guest has a terminal of its own, which echoes and edits: the host's lets every byte through.
 * Source: OCI runtime command line interface, "--console-socket"; SCM_RIGHTS with the terminal's name as data.
 */

import type { ConsoleSize } from "../../oci/types.ts";
import { withDeadline } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { readlink } from "../../sys/files.ts";
import { connect, sendWithDescriptors } from "../../sys/socket.ts";
import { openTerminal, setControllingTerminal, setRawMode, setWindowSize } from "../../sys/terminal.ts";
import { utf8Encode } from "../../sys/utf8.ts";

/** The engine listens before it calls, ms. */
const SEND_MS = 10_000;

/**
 * Makes the terminal, takes it as this session's own, so that a change of its size is a signal, and sends the other side away.
 *
 * @returns the process's side.
 */
export async function openConsole(socket: string, size: ConsoleSize | undefined): Promise<FileDescriptor> {
  const { master, slave } = openTerminal();
  try {
    // Never restored: it ends with the container.
    setRawMode(slave.fd);
    if (size !== undefined) setWindowSize(slave.fd, { rows: size.height, columns: size.width });
    setControllingTerminal(slave.fd);
    const what = { operation: "send terminal to", object: socket };
    await withDeadline(loop, SEND_MS, what, send(socket, slave, master));
    return slave;
  } catch (error) {
    slave.close();
    throw error;
  } finally {
    master.close();
  }
}

async function send(path: string, slave: FileDescriptor, master: FileDescriptor): Promise<void> {
  using stream = await connect({ kind: "unix", path });
  const name = readlink(`/proc/self/fd/${slave.fd}`);
  await sendWithDescriptors(stream, utf8Encode(name), [master.fd]);
}
