/** Being the guest at the machine's end of a network card, for tests: frames in, frames out. */
import { withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { parseIpAddress, parseMacAddress } from "../../sys/netlink/ip-address.ts";
import { assert, assertEqual } from "../../sys/testing/native-test.ts";
import { POD_ADDRESS, POD_MAC } from "./test-network.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const ETH_P_IP = 0x0800;
const ETH_P_ARP = 0x0806;
/** struct virtio_net_hdr in front of every frame of the tap. */
export const VNET_HEADER_BYTES = 10;
/** The kernel asks again after a second, three times. */
const FRAME_DEADLINE_MS = 5000;

/** Makes the sender's kernel ask for the receiver's hardware address. */
export function sendDatagrams(address: string, count = 1, bytes = 1): void {
  using socket = new FileDescriptor(
    check(kernel().syscall("socket", AF_INET, SOCK_DGRAM, 0), "make", "socket"),
  );
  const to = new Uint8Array(16);
  to.set([AF_INET, 0, 0x30, 0x39, ...parseIpAddress(address)]);
  for (let sent = 0; sent < count; sent++) {
    const result = kernel().syscall("sendto", socket.fd, new Uint8Array(bytes), bytes, 0, to, to.length);
    check(result, "send to", address);
  }
}

/** The next frame of one of some types, without the header that the tap puts in front. */
export async function nextFrame(tap: FdStream, ...types: readonly number[]): Promise<Uint8Array> {
  const buffer = new Uint8Array(4096);
  for (;;) {
    const what = { operation: "wait for frame", object: types.map((type) => type.toString(16)).join(", ") };
    const count = await withDeadline(loop, FRAME_DEADLINE_MS, what, tap.read(buffer));
    const frame = buffer.slice(VNET_HEADER_BYTES, count);
    if (types.includes(typeOf(frame))) return frame;
  }
}

function typeOf(frame: Uint8Array): number {
  return ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
}

/** Is the guest for a moment: answers the question for its address, and takes the datagram that follows. */
export async function talkAsGuest(card: FdStream, ask: () => void): Promise<void> {
  ask();
  for (let answered = 0; ; answered++) {
    const frame = await nextFrame(card, ETH_P_ARP, ETH_P_IP);
    if (typeOf(frame) === ETH_P_IP) {
      assert(answered > 0, "the address is asked for first");
      assertEqual([...frame.subarray(0, 6)], [...parseMacAddress(POD_MAC)], "the datagram's receiver");
      return;
    }
    // ARP, request, "who has the pod's address": RFC 826.
    assertEqual(
      [...frame.subarray(20, 22), ...frame.subarray(38, 42)],
      [0, 1, ...parseIpAddress(POD_ADDRESS)],
    );
    // Again if it is asked again: a link that has just come up may lose the first answer.
    await card.write(answerTo(frame));
  }
}

function answerTo(request: Uint8Array): Uint8Array {
  const answer = new Uint8Array(VNET_HEADER_BYTES + 42);
  const frame = answer.subarray(VNET_HEADER_BYTES);
  const asker = request.subarray(6, 12);
  frame.set([...asker, ...parseMacAddress(POD_MAC), 0x08, 0x06]);
  frame.set([0, 1, 8, 0, 6, 4, 0, 2, ...parseMacAddress(POD_MAC), ...parseIpAddress(POD_ADDRESS)], 14);
  frame.set([...asker, ...request.subarray(28, 32)], 32);
  return answer;
}
