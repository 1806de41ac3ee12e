/** A hybrid vsock over a guest whose agent is behind a serial port. */
import type { FdStream } from "../../src/sys/fd-stream.ts";
import { accept, listen } from "../../src/sys/socket.ts";
import { utf8Decode, utf8Encode } from "../../src/sys/utf8.ts";

const AGENT_PORT = 1024;

/** Leads connections that ask for the agent's port to it, one at a time, and hangs up on others, as monitors do. */
export async function serveVsock(path: string, agent: FdStream): Promise<void> {
  const listener = listen({ kind: "unix", path });
  let current: FdStream | undefined;
  // One reader for all connections: one that has ended must not take what is for the next.
  void copy(agent, { write: (bytes) => current?.write(bytes) ?? Promise.resolve() })
    .catch(() => undefined)
    .then(() => current?.close());
  for (;;) {
    const client = await accept(listener);
    const line = await readLine(client);
    if (line !== `CONNECT ${AGENT_PORT}`) {
      client.close();
      continue;
    }
    await client.write(utf8Encode("OK 1073741824\n"));
    current = client;
    await copy(client, agent).catch(() => undefined);
    current = undefined;
    client.close();
  }
}

async function readLine(stream: FdStream): Promise<string> {
  let line = "";
  const byte = new Uint8Array(1);
  while (line.length < 64 && (await stream.read(byte)) === 1 && byte[0] !== 10) line += utf8Decode(byte);
  return line;
}

async function copy(from: FdStream, to: Pick<FdStream, "write">): Promise<void> {
  const chunk = new Uint8Array(64 << 10);
  for (let count = await from.read(chunk); count > 0; count = await from.read(chunk)) {
    await to.write(chunk.slice(0, count));
  }
}
