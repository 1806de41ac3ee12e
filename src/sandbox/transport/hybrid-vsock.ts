/**
 * Vsock as Cloud Hypervisor and Firecracker offer it: a unix socket of the monitor, on which one asks for a port of the guest.
 *
 * ```
 *      ←  CONNECT 1024 ⏎
 * VMM →   OK 1073741824 ⏎          from here on the stream is the guest's
 * ```
 *
 * Source: Firecracker documentation, docs/vsock.md, "Host-Initiated Connections".
 */
import { KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { type CancelSignal, orCancelled } from "../../sys/cancellation.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { modeOf, O_NOFOLLOW, O_PATH, open, S_IFMT, S_IFSOCK } from "../../sys/files.ts";
import { connect } from "../../sys/socket.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

/** `OK` and a port's number; a longer line is another protocol. */
const MAX_ANSWER_BYTES = 32;
const NEWLINE = 10;

/**
 * A stream to `port` of the guest whose monitor listens at `path`.
 *
 * @throws KataError `unavailable` if nobody in the guest listens there (the monitor hangs up), `malformed-message` for an answer that
 * is none, `system-call` if there is no monitor (ENOENT, ECONNREFUSED).
 */
export async function connectHybridVsock(
  path: string,
  port: number,
  signal: CancelSignal,
): Promise<ByteStream> {
  const stream = await connectToSocketAt(path, signal);
  try {
    await orCancelled(stream.write(utf8Encode(`CONNECT ${port}\n`)), signal);
    const answer = await orCancelled(readLine(stream), signal);
    if (/^OK( \d{1,10})?$/.test(answer)) return stream;
    throw new KataError("malformed-message", {
      operation: `connect to port ${port} of the guest`,
      object: JSON.stringify(answer),
    });
  } catch (error) {
    stream.close();
    throw error;
  }
}

/** The directory may be the monitor's, which is not to choose by a link what this process connects to. */
async function connectToSocketAt(path: string, signal: CancelSignal): Promise<FdStream> {
  using socket = open(path, O_PATH | O_NOFOLLOW);
  if ((modeOf(socket.fd) & S_IFMT) !== S_IFSOCK) {
    throw new KataError("failed-precondition", {
      operation: "connect to the monitor's vsock",
      object: `${path} is no socket`,
    });
  }
  return await connect({ kind: "unix", path: `/proc/self/fd/${socket.fd}` }, signal);
}

/** A byte at a time: what follows the line is the guest's. */
async function readLine(stream: ByteStream): Promise<string> {
  const line = new Uint8Array(MAX_ANSWER_BYTES);
  for (let length = 0; length < line.length; length++) {
    const count = await stream.read(line.subarray(length, length + 1));
    if (count === 0) {
      throw new KataError("unavailable", {
        operation: "connect to the guest",
        object: "nobody listens at the port",
      });
    }
    if (line[length] === NEWLINE) return utf8Decode(line.subarray(0, length)).trimEnd();
  }
  throw new KataError("malformed-message", {
    operation: "connect to the guest",
    object: "an answer without an end",
  });
}
