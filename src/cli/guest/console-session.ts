/**
 * The debug console as upstream's agent offers it: a shell with a terminal behind a vsock port of the guest. Its shim only tells
 * where the guest is (`GET /agent-url`).
 */
import { KataError } from "../../kata-error.ts";
import { connectHybridVsock } from "../../sandbox/transport/hybrid-vsock.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { writeSync } from "../../sys/program.ts";
import { connect } from "../../sys/socket.ts";
import { isTerminal, setRawMode } from "../../sys/terminal.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { askShim } from "../ask-shim.ts";
import { ConsoleCommand } from "./console-command.ts";
import { readStandardInput } from "./standard-input.ts";

const [STDIN, STDOUT] = [0, 1];
const CHUNK_BYTES = 4096;
const CONNECT_MS = 10_000;
/** What a person types to leave a shell. */
const END_OF_TRANSMISSION = 4;

/** @returns the exit status of `args`, or 0 at the end of a shell. @throws KataError if no console is offered at `port`. */
export async function consoleSession(
  sandboxId: string,
  port: number,
  args: readonly string[],
): Promise<number> {
  const url = utf8Decode(await askShim({ sandboxId, method: "GET", target: "/agent-url" })).trim();
  const stream = await connectTo(url, port);
  try {
    return args.length === 0 ? await interactive(stream) : await command(stream, args);
  } finally {
    loop.forget(STDIN);
    stream.close();
  }
}

/** `vsock://CID:PORT` or `hvsock://PATH:PORT`; the port is the agent's own. */
export type GuestPlace =
  | { readonly kind: "vsock"; readonly cid: number }
  | { readonly kind: "hvsock"; readonly path: string };

/** @throws KataError `invalid-data` for another text. */
export function parseAgentUrl(url: string): GuestPlace {
  const [, cid] = /^vsock:\/\/(\d{1,10}):\d+$/.exec(url) ?? [];
  if (cid !== undefined) return { kind: "vsock", cid: Number(cid) };
  const [, path] = /^hvsock:\/\/(\/[^\0]*):\d+$/.exec(url) ?? [];
  if (path !== undefined) return { kind: "hvsock", path };
  throw new KataError("invalid-data", {
    operation: "find the guest",
    object: JSON.stringify(url.slice(0, 200)),
    hint: "the shim tells vsock://CID:PORT or hvsock://PATH:PORT",
  });
}

async function connectTo(url: string, port: number): Promise<ByteStream> {
  const place = parseAgentUrl(url);
  const what = {
    operation: "connect to the debug console",
    object: url,
    hint: "set debug_console_enabled = true in [agent] of the configuration, for pods that start after it",
  };
  const connecting =
    place.kind === "vsock"
      ? connect({ kind: "vsock", cid: place.cid, port })
      : connectHybridVsock(place.path, port, new CancelSource().signal);
  try {
    return await withDeadline(loop, CONNECT_MS, what, connecting);
  } catch (error) {
    if (error instanceof KataError && error.code !== "deadline-exceeded") {
      throw new KataError("unavailable", { ...what, errno: error.errno, cause: error });
    }
    throw error;
  }
}

async function interactive(stream: ByteStream): Promise<number> {
  using _raw = isTerminal(STDIN) ? setRawMode(STDIN) : undefined;
  const input = copyInput(stream);
  // It ends when the connection does.
  input.catch(() => undefined);
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let count = await stream.read(chunk); count > 0; count = await stream.read(chunk)) {
    writeSync(STDOUT, chunk.subarray(0, count));
  }
  return 0;
}

async function copyInput(stream: ByteStream): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let count = await readStandardInput(chunk); count > 0; count = await readStandardInput(chunk)) {
    await stream.write(chunk.slice(0, count));
  }
  await stream.write(Uint8Array.of(END_OF_TRANSMISSION));
}

/** Output and errors come as one, and without input: a terminal is all that there is. */
async function command(stream: ByteStream, args: readonly string[]): Promise<number> {
  const run = new ConsoleCommand(args);
  await stream.write(utf8Encode(run.input));
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let count = await stream.read(chunk); count > 0; count = await stream.read(chunk)) {
    const { output, status } = run.take(utf8Decode(chunk.subarray(0, count)));
    writeSync(STDOUT, output);
    if (status !== undefined) return status;
  }
  throw new KataError("unavailable", {
    operation: "run command in the guest",
    object: "the console has hung up",
  });
}
