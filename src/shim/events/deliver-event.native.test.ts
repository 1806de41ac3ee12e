import { eventsService, type ForwardRequest } from "../../../build/generated/events.ts";
import { hasCode } from "../../kata-error.ts";
import { serveConnection } from "../../rpc/server.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  chmod,
  mkdirAll,
  readFile,
  readTextFile,
  removeTree,
  unlinkIfExists,
  writeFile,
} from "../../sys/files.ts";
import { getpid, ignoreSignal, SIGPIPE } from "../../sys/process.ts";
import { accept, listen } from "../../sys/socket.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { decodeAny } from "../generated.ts";
import { type EventDestination, eventDelivery } from "./deliver-event.ts";
import type { TaskEvent } from "./task-events.ts";

const EVENT: TaskEvent = {
  topic: "/tasks/exit",
  event: { typeUrl: "containerd.events.TaskExit", value: Uint8Array.of(1, 2) },
};
const LOGGER = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

let directories = 0;

function temporaryDirectory(): { readonly path: string } & Disposable {
  const path = `/tmp/kata-shim-events.${getpid()}.${directories++}`;
  mkdirAll(path);
  return { path, [Symbol.dispose]: () => removeTree(path) };
}

function destination(changes: Partial<EventDestination>): EventDestination {
  const nowhere = { ttrpcAddress: "", grpcAddress: "", publishBinary: "", environment: [] };
  return { namespace: "ns", ...nowhere, clock: loop, logger: LOGGER, ...changes };
}

/** containerd's events service at `path`, until it is disposed of. */
function eventsServer(path: string): { readonly received: ForwardRequest[] } & Disposable {
  unlinkIfExists(path);
  const socket = listen({ kind: "unix", path });
  const received: ForwardRequest[] = [];
  const streams: Disposable[] = [];
  const service = eventsService({
    async forward(request) {
      received.push(request);
      return {};
    },
  });
  const run = async () => {
    for (;;) {
      const stream = await accept(socket);
      streams.push(stream);
      void serveConnection(stream, [service]);
    }
  };
  run().catch((error: unknown) => {
    if (!hasCode(error, "closed")) throw error;
  });
  return {
    received,
    [Symbol.dispose]() {
      loop.forget(socket.fd);
      socket.close();
      for (const stream of streams) stream[Symbol.dispose]();
    },
  };
}

test("eventDelivery() forwards an event with its time, namespace and topic", async () => {
  using place = temporaryDirectory();
  const path = `${place.path}/c.ttrpc`;
  using server = eventsServer(path);
  await eventDelivery(destination({ ttrpcAddress: path }))(EVENT, 1500);
  assertEqual(server.received, [
    {
      envelope: {
        timestamp: { seconds: 1n, nanos: 500_000_000 },
        namespace: "ns",
        topic: "/tasks/exit",
        event: EVENT.event,
      },
    },
  ]);
});

test("eventDelivery() connects again after containerd was restarted", async () => {
  using place = temporaryDirectory();
  const path = `${place.path}/c.ttrpc`;
  const deliver = eventDelivery(destination({ ttrpcAddress: `unix://${path}` }));
  {
    using server = eventsServer(path);
    await deliver(EVENT, 1);
    assertEqual(server.received.length, 1);
  }
  await assertThrows(
    () => deliver(EVENT, 2),
    (error) => hasCode(error, "system-call"),
    "a refused connection",
  );
  using server = eventsServer(path);
  await deliver(EVENT, 3);
  assertEqual(server.received.length, 1);
});

test("eventDelivery() falls back to containerd's own program, with the event on its stdin", async () => {
  using place = temporaryDirectory();
  const program = `${place.path}/containerd`;
  writeFile(program, '#!/bin/sh\necho "$@" > "$OUT/arguments"\ncat > "$OUT/input"\n');
  chmod(program, 0o755);
  const deliver = eventDelivery(
    destination({
      ttrpcAddress: `${place.path}/missing`,
      grpcAddress: "/run/c.sock",
      publishBinary: program,
      environment: [`OUT=${place.path}`, "PATH=/usr/bin:/bin"],
    }),
  );
  await deliver(EVENT, 1);
  assertEqual(
    readTextFile(`${place.path}/arguments`),
    "--address /run/c.sock publish --namespace ns --topic /tasks/exit\n",
  );
  assertEqual(decodeAny(readFile(`${place.path}/input`)), EVENT.event);
});

test("eventDelivery() fails if the program does", async () => {
  const deliver = eventDelivery(destination({ grpcAddress: "/run/c.sock", publishBinary: "/bin/false" }));
  await assertThrows(
    () => deliver(EVENT, 1),
    (error) => hasCode(error, "unavailable") && error.message.includes("/bin/false"),
    "an error that names the program",
  );
});

test("eventDelivery() without an address, as under CRI-O, only logs", async () => {
  const logged: string[] = [];
  const logger = { ...LOGGER, info: (message: string) => void logged.push(message) };
  await eventDelivery(destination({ publishBinary: "/usr/bin/crio", logger }))(EVENT, 1);
  assertEqual(logged, ["event"]);
});

ignoreSignal(SIGPIPE);
runTests();
