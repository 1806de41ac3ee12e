/** ttrpc over the sockets of the real kernel. */
import { agentService, agentServiceClient } from "../../build/generated/agent.ts";
import { hasCode } from "../kata-error.ts";
import { CancelSource } from "../sys/cancellation.ts";
import { sleep } from "../sys/clock.ts";
import type { FileDescriptor } from "../sys/descriptor.ts";
import { loop } from "../sys/event-loop.ts";
import { FdStream, readExactly } from "../sys/fd-stream.ts";
import { exists, mkdirAll, removeTree } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { accept, connect, listen, socketPair } from "../sys/socket.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../sys/testing/native-test.ts";
import { utf8Encode } from "../sys/utf8.ts";
import { TtrpcClient } from "./client.ts";
import { connectHybridVsock, connectWhenReady } from "./connect.ts";
import { HEADER_BYTES, MAX_BODY_BYTES, responseFrame } from "./frame.ts";
import { lastingClient } from "./lasting-stream.ts";
import { serveConnection } from "./server.ts";
import type { Service } from "./types.ts";

/** Answers with what it is sent. */
const ECHO: Service = {
  name: "test.Echo",
  methods: new Map([["Echo", { kind: "unary", handle: async (payload: Uint8Array) => payload }]]),
};

let sockets = 0;

/** The path of a socket in a directory that is removed at the end of the scope. */
function socketPath(): { readonly path: string } & Disposable {
  const directory = `/tmp/kata-rpc-test.${getpid()}.${sockets++}`;
  mkdirAll(directory);
  return { path: `${directory}/s`, [Symbol.dispose]: () => removeTree(directory) };
}

function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < 251 && at < length; at++) bytes[at] = at;
  for (let filled = 251; filled < length; filled *= 2)
    bytes.copyWithin(filled, 0, Math.min(filled, length - filled));
  return bytes;
}

test("client and server carry concurrent calls over a unix socket", async () => {
  using place = socketPath();
  const socket = listen({ kind: "unix", path: place.path });
  const served = accept(socket).then((stream) =>
    serveConnection(stream, [
      agentService({
        async waitProcess({ containerId }) {
          // The first one asked is the last one answered.
          await sleep(loop, 50 - Number(containerId) * 10);
          return { status: Number(containerId) };
        },
      }),
    ]),
  );
  const client = new TtrpcClient(await connect({ kind: "unix", path: place.path }));
  const agent = agentServiceClient(client);
  const order: number[] = [];
  const answers = await Promise.all(
    [0, 1, 2, 3, 4].map(async (id) => {
      const { status } = await agent.waitProcess({ containerId: String(id) });
      order.push(status);
      return status;
    }),
  );
  assertEqual(answers, [0, 1, 2, 3, 4]);
  assertEqual(order, [4, 3, 2, 1, 0]);
  client.close();
  await Promise.all([served, client.closed]);
  loop.forget(socket.fd);
  socket.close();
});

test("client and server carry bodies of any size up to the bound", async () => {
  const { ours, theirs } = socketPair();
  const served = serveConnection(new FdStream(theirs), [ECHO]);
  const client = new TtrpcClient(new FdStream(ours));
  const overhead = 64;
  for (const size of [0, 1, 16 * 1024 - HEADER_BYTES, 16 * 1024, 100_000, MAX_BODY_BYTES - overhead]) {
    const payload = pattern(size);
    const answer = await client.call("test.Echo", "Echo", payload);
    assert(answer.length === size, `${size} bytes come back, got ${answer.length}`);
    assert(
      utf8Encode(String(answer.at(-1))).length > 0 && answer.at(-1) === payload.at(-1),
      "the last byte is right",
    );
  }
  await assertThrows(
    () => client.call("test.Echo", "Echo", new Uint8Array(MAX_BODY_BYTES)),
    (error) => hasCode(error, "resource-exhausted"),
    "a refusal of a request over the bound",
  );
  assertEqual(await client.call("test.Echo", "Echo", pattern(3)), pattern(3), "the connection lives on");
  client.close();
  await served;
});

test("a call fails as unavailable when the server's process goes", async () => {
  const { ours, theirs } = socketPair();
  const client = new TtrpcClient(new FdStream(ours));
  const call = client.call("test.Echo", "Echo", new Uint8Array(1));
  const peer = new FdStream(theirs);
  await readExactly(peer, HEADER_BYTES);
  peer.close();
  await assertThrows(
    () => call,
    (error) => hasCode(error, "unavailable"),
    "unavailable",
  );
  await client.closed;
});

test("a call times out at its deadline when the server does not answer", async () => {
  const { ours, theirs } = socketPair();
  const client = new TtrpcClient(new FdStream(ours));
  const begun = loop.now();
  await assertThrows(
    () => client.call("test.Echo", "Echo", new Uint8Array(1), { timeoutMs: 30 }),
    (error) => hasCode(error, "deadline-exceeded"),
    "deadline-exceeded",
  );
  const elapsed = loop.now() - begun;
  assert(elapsed >= 30 && elapsed < 5000, `about 30 ms have passed, ${elapsed} have`);
  client.close();
  theirs.close();
});

test("a server that is told to stop answers what is under way and hangs up", async () => {
  const { ours, theirs } = socketPair();
  const stop = new CancelSource();
  const service: Service = {
    name: "test.Slow",
    methods: new Map([
      [
        "Wait",
        {
          kind: "unary",
          handle: async () => {
            stop.cancel();
            await sleep(loop, 20);
            return pattern(1);
          },
        },
      ],
    ]),
  };
  const served = serveConnection(new FdStream(theirs), [service], { stop: stop.signal });
  const client = new TtrpcClient(new FdStream(ours));
  assertEqual(await client.call("test.Slow", "Wait", new Uint8Array(0)), pattern(1));
  await Promise.all([served, client.closed]);
});

/** A monitor that connects a port of its guest: at first nobody listens there. */
async function serveMonitor(
  socket: FileDescriptor,
  answers: readonly (string | undefined)[],
): Promise<string[]> {
  const lines: string[] = [];
  for (const answer of answers) {
    const stream = await accept(socket);
    lines.push(String.fromCharCode(...(await readExactly(stream, "CONNECT 1024\n".length))));
    if (answer === undefined) {
      stream.close();
      continue;
    }
    // The first frame of the guest in the same segment as the monitor's line.
    await stream.write(utf8Encode(answer));
    if (answer.startsWith("OK")) await serveConnection(stream, [ECHO]);
    else stream.close();
  }
  return lines;
}

test("a hybrid vsock connection is tried until the guest listens", async () => {
  using place = socketPath();
  const address = { kind: "hybrid-vsock", path: place.path, port: 1024 } as const;
  const connecting = connectWhenReady(address, { timeoutMs: 5000 });
  await sleep(loop, 30);
  assert(!exists(place.path), "the monitor's socket is not there at first");
  const socket = listen({ kind: "unix", path: place.path });
  const monitor = serveMonitor(socket, [undefined, "FAIL\n", "OK 1073741824\n"]);
  const client = new TtrpcClient(await connecting);
  assertEqual(await client.call("test.Echo", "Echo", pattern(300)), pattern(300));
  client.close();
  assertEqual(await monitor, ["CONNECT 1024\n", "CONNECT 1024\n", "CONNECT 1024\n"]);
  loop.forget(socket.fd);
  socket.close();
});

test("a hybrid vsock connection takes not a byte behind the monitor's line", async () => {
  using place = socketPath();
  const socket = listen({ kind: "unix", path: place.path });
  const accepted = accept(socket);
  const connecting = connectHybridVsock({ kind: "hybrid-vsock", path: place.path, port: 1024 });
  const peer = await accepted;
  await peer.write(utf8Encode("OK 5\nguest"));
  assertEqual(await readExactly(await connecting, 5), utf8Encode("guest"));
  peer.close();
  loop.forget(socket.fd);
  socket.close();
});

test("a hybrid vsock connection fails when its time is up", async () => {
  using place = socketPath();
  const socket = listen({ kind: "unix", path: place.path });
  const begun = loop.now();
  await assertThrows(
    () => connectWhenReady({ kind: "hybrid-vsock", path: place.path, port: 1024 }, { timeoutMs: 50 }),
    (error) => hasCode(error, "deadline-exceeded"),
    "deadline-exceeded",
  );
  assert(loop.now() - begun < 5000, "it does not wait for the monitor");
  loop.forget(socket.fd);
  socket.close();
});

test("a monitor that sends no end of line is refused", async () => {
  using place = socketPath();
  const socket = listen({ kind: "unix", path: place.path });
  const accepted = accept(socket);
  const connecting = connectHybridVsock({ kind: "hybrid-vsock", path: place.path, port: 1024 });
  const peer = await accepted;
  await peer.write(new Uint8Array(1000).fill(0x41));
  await assertThrows(
    () => connecting,
    (error) => hasCode(error, "unavailable"),
    "unavailable",
  );
  peer.close();
  loop.forget(socket.fd);
  socket.close();
});

test("a client on a lasting stream passes over what old connections left", async () => {
  const { ours, theirs } = socketPair();
  const peer = new FdStream(theirs);
  const old = responseFrame(1, { payload: pattern(500) });
  // The end of one answer, a whole one, and a header of zeros.
  await peer.write(old.subarray(137));
  await peer.write(old);
  await peer.write(new Uint8Array(7));
  const client = new TtrpcClient(new FdStream(ours), { lasting: lastingClient() });
  const served = serveConnection(peer, [ECHO], { lasting: true });
  assertEqual(await client.call("test.Echo", "Echo", pattern(9), { timeoutMs: 5000 }), pattern(9));
  assertEqual(await client.call("test.Echo", "Echo", pattern(10), { timeoutMs: 5000 }), pattern(10));
  client.close();
  await served;
});

runTests();
