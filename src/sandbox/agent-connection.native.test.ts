/** Reaching an agent over a stream that is there before the agent is, as over a virtio-serial port. */
import { healthService } from "../../build/generated/health.ts";
import { hasCode, KataError } from "../kata-error.ts";
import { serveConnection } from "../rpc/server.ts";
import { CancelSource } from "../sys/cancellation.ts";
import { sleep } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { FdStream } from "../sys/fd-stream.ts";
import { readDirectory } from "../sys/files.ts";
import { socketPair } from "../sys/socket.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../sys/testing/native-test.ts";
import { connectAgent } from "./agent-connection.ts";

const SERVING = 1;
const health = healthService({ check: async () => ({ status: SERVING }) });
const signal = () => new CancelSource().signal;

function channel(): { readonly ours: FdStream; readonly theirs: FdStream } {
  const { ours, theirs } = socketPair();
  return { ours: new FdStream(ours), theirs: new FdStream(theirs) };
}

test("an agent that comes late answers what was asked before", async () => {
  const { ours, theirs } = channel();
  const connecting = connectAgent({ kind: "stream", stream: ours }, 5000, signal());
  await sleep(loop, 100);
  const serving = serveConnection(theirs, [health]);
  const agent = await connecting;
  agent.close();
  await Promise.all([agent.closed, serving]);
});

test("an agent that has missed the first question answers the next", async () => {
  const { ours, theirs } = channel();
  const connecting = connectAgent({ kind: "stream", stream: ours }, 5000, signal());
  // The whole question gets lost, as in a port that nobody had open.
  assert((await theirs.read(new Uint8Array(4096))) > 10, "the first question has come");
  const started = loop.now();
  const serving = serveConnection(theirs, [health]);
  const agent = await connecting;
  assert(loop.now() - started < 2000, "it is asked again within a second or so");
  agent.close();
  await serving;
});

test("an agent without the health service is an agent", async () => {
  const { ours, theirs } = channel();
  const serving = serveConnection(theirs, []);
  const agent = await connectAgent({ kind: "stream", stream: ours }, 5000, signal());
  agent.close();
  await serving;
});

test("the connection tells when the agent is gone", async () => {
  const { ours, theirs } = channel();
  serveConnection(theirs, [health]).catch(() => undefined);
  const agent = await connectAgent({ kind: "stream", stream: ours }, 5000, signal());
  theirs.close();
  await agent.closed;
  await assertThrows(
    () => agent.calls.destroySandbox({}),
    (error) => hasCode(error, "unavailable"),
    "unavailable",
  );
});

const failures: readonly [
  what: string,
  code: string,
  act: (theirs: FdStream, source: CancelSource) => void,
][] = [
  ["that never answers", "deadline-exceeded", () => undefined],
  ["that hangs up", "unavailable", (theirs) => theirs.close()],
  ["that talks nonsense", "deadline-exceeded", (theirs) => void theirs.write(new Uint8Array(64).fill(0xff))],
  [
    "that is given up",
    "cancelled",
    (_theirs, source) =>
      source.cancel(new KataError("cancelled", { operation: "start", object: "given up" })),
  ],
];

for (const [what, code, act] of failures) {
  test(`an agent ${what} is an error ${code}, and nothing stays open`, async () => {
    const before = readDirectory("/proc/self/fd").length;
    const { ours, theirs } = channel();
    const source = new CancelSource();
    loop.after(50, () => act(theirs, source));
    await assertThrows(
      () => connectAgent({ kind: "stream", stream: ours }, 300, source.signal),
      (error) => hasCode(error, code),
      code,
    );
    assertEqual(ours.isOpen, false);
    theirs.close();
    // The event loop keeps its own descriptor.
    assert(readDirectory("/proc/self/fd").length <= before + 1, "nothing stays open");
  });
}

test("an agent on vsock that does not exist is given up at the deadline", async () => {
  const started = loop.now();
  await assertThrows(
    () => connectAgent({ kind: "vsock", cid: 4_000_000_000, port: 1024 }, 300, signal()),
    (error) => hasCode(error, "deadline-exceeded") || hasCode(error, "system-call"),
    "deadline-exceeded, or no vsock at all",
  );
  assert(loop.now() - started < 2000, "at the deadline");
});

runTests();
