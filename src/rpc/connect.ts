/**
 * Byte streams to where a ttrpc server listens, also to one that does not listen yet.
 *
 * Hybrid vsock is how Cloud Hypervisor and Firecracker reach a vsock port of their guest: a UNIX socket of the monitor takes the
 * line `CONNECT port`, answers with a line that begins with `OK`, and is then connected to the port. While nobody in the guest
 * listens it hangs up instead. Source: Firecracker, docs/vsock.md.
 */
import { hasCode, hasErrno, KataError } from "../kata-error.ts";
import { type CancelSignal, CancelSource, orCancelled, throwIfCancelled } from "../sys/cancellation.ts";
import { sleep } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import type { FdStream } from "../sys/fd-stream.ts";
import { connect, type SocketAddress, showAddress } from "../sys/socket.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";

export interface HybridVsockAddress {
  readonly kind: "hybrid-vsock";
  /** The monitor's UNIX socket. */
  readonly path: string;
  readonly port: number;
}

export interface ConnectOptions {
  /** For all tries together, ms. */
  readonly timeoutMs: number;
  readonly signal?: CancelSignal | undefined;
}

/** Between two tries, ms: a guest that boots in tens of milliseconds should not wait for us. */
const RETRY_MS = 10;
/** For the monitor's answer, ms; what upstream allows, too. */
const HANDSHAKE_MS = 10_000;
/** Longest line of the monitor, bytes: `OK` and a port of ten digits need 14. */
const MAX_LINE_BYTES = 64;

/**
 * Connects, and tries again while nobody listens.
 *
 * @throws KataError `deadline-exceeded` with the last failure as its cause; the signal's reason; `system-call` with an errno
 *   that does not go away by waiting (EACCES).
 */
export async function connectWhenReady(
  address: SocketAddress | HybridVsockAddress,
  options: ConnectOptions,
): Promise<FdStream> {
  const shown = showTarget(address);
  const giveUp = new CancelSource(options.signal);
  let lastFailure: unknown;
  const timer = loop.after(options.timeoutMs, () => {
    giveUp.cancel(
      new KataError("deadline-exceeded", {
        operation: "connect to",
        object: shown,
        hint: `nobody listened within ${options.timeoutMs} ms`,
        cause: lastFailure,
      }),
    );
  });
  try {
    for (;;) {
      throwIfCancelled(giveUp.signal);
      try {
        return address.kind === "hybrid-vsock"
          ? await connectHybridVsock(address, giveUp.signal)
          : await connect(address, giveUp.signal);
      } catch (error) {
        if (giveUp.signal.aborted) throw giveUp.signal.reason;
        if (!isTransient(error)) throw error;
        lastFailure = error;
      }
      await orCancelled(sleep(loop, RETRY_MS), giveUp.signal);
    }
  } finally {
    timer.cancel();
  }
}

/**
 * Connects to a guest's port once.
 *
 * @throws KataError `unavailable` if nobody in the guest listens, `deadline-exceeded` if the monitor does not answer.
 */
export async function connectHybridVsock(
  address: HybridVsockAddress,
  signal?: CancelSignal,
): Promise<FdStream> {
  throwIfCancelled(signal);
  const stream = await connect({ kind: "unix", path: address.path }, signal);
  const what = { operation: "connect to", object: showTarget(address) };
  let failure: unknown;
  // A read cannot be cancelled, but it ends with its stream.
  const abort = (reason: unknown) => {
    failure ??= reason;
    stream.close();
  };
  const onAbort = () => abort(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  const hint = `no answer of the monitor within ${HANDSHAKE_MS} ms`;
  const timer = loop.after(HANDSHAKE_MS, () => abort(new KataError("deadline-exceeded", { ...what, hint })));
  try {
    await stream.write(utf8Encode(`CONNECT ${address.port}\n`));
    const line = await readLine(stream);
    if (!line.startsWith("OK")) {
      throw new KataError("unavailable", { ...what, hint: `the monitor answered ${JSON.stringify(line)}` });
    }
    return stream;
  } catch (error) {
    stream.close();
    throw failure ?? error;
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Reads up to a newline and not a byte more: what follows belongs to the guest. */
async function readLine(stream: FdStream): Promise<string> {
  const line = new Uint8Array(MAX_LINE_BYTES);
  for (let length = 0; length < MAX_LINE_BYTES; length++) {
    const byte = line.subarray(length, length + 1);
    if ((await stream.read(byte)) === 0) return utf8Decode(line.subarray(0, length));
    if (byte[0] === 0x0a) return utf8Decode(line.subarray(0, length));
  }
  return utf8Decode(line);
}

/** Whether the same try may succeed a little later: the socket, the guest's driver or the server in it is not there yet. */
function isTransient(error: unknown): boolean {
  return (
    hasCode(error, "unavailable") ||
    hasErrno(
      error,
      "ENOENT",
      "ECONNREFUSED",
      "ECONNRESET",
      "EPIPE",
      "EAGAIN",
      "ENODEV",
      "ETIMEDOUT",
      "EHOSTUNREACH",
    )
  );
}

function showTarget(address: SocketAddress | HybridVsockAddress): string {
  return address.kind === "hybrid-vsock" ? `hvsock://${address.path}:${address.port}` : showAddress(address);
}
