/**
 * ttrpc on a stream that outlives its connections: a virtio-serial port.
 *
 * Nothing on such a stream says where a connection begins. Another host process may take the port over, or a clone of the machine
 * gets a new host, while the agent in the guest still reads the same open file. So the new client may find
 *
 * - the end of an old answer, cut anywhere: it passes over bytes until the header of an answer to a call of its own;
 * - whole answers to old calls: it takes its first stream id at random, so they belong to no call of its own;
 *
 * and the agent's server may find
 *
 * - an id that is not above the last one, which no client ever sends: a new client has come, and the old one's calls are
 *   abandoned. Where the new ids happen to be higher, old calls go on and their answers are ignored;
 * - the end of an old request, cut anywhere: most likely its bytes are no header, and the connection ends. The agent then
 *   opens the port again, for which the kernel drops what was there. Otherwise it waits for the rest of a frame that never was,
 *   for at most {@link MAX_BODY_BYTES}: therefore a client that has no answer asks again.
 *
 * The frames are those of ttrpc, without any addition.
 */
import { randomBytes } from "../sys/random.ts";

export interface LastingClient {
  /** Odd, 1 to 2^30: half of all ids are left even for the highest. */
  readonly firstStream: number;
}

/** For one connection of a client. */
export function lastingClient(): LastingClient {
  const [a = 0, b = 0, c = 0, d = 0] = randomBytes(4);
  return { firstStream: (((a & 0x3f) << 24) | (b << 16) | (c << 8) | d | 1) >>> 0 };
}
