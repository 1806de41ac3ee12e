/** The debug console's shell over a stream, as a connection to its port gets it. */
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { readTextFile } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { socketPair } from "../../sys/socket.ts";
import { assert, runTests, test } from "../../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { attendShell } from "./debug-console.ts";

const DEADLINE_MS = 10_000;

/** Reads until `text` has come. */
async function readUntil(stream: FdStream, text: string): Promise<string> {
  let all = "";
  const chunk = new Uint8Array(1024);
  while (!all.includes(text)) {
    const reading = withDeadline(
      loop,
      DEADLINE_MS,
      { operation: "hear", object: text, hint: JSON.stringify(all) },
      stream.read(chunk),
    );
    const count = await reading;
    assert(count > 0, `${JSON.stringify(text)} before the end of ${JSON.stringify(all)}`);
    all += utf8Decode(chunk.subarray(0, count));
  }
  return all;
}

/** Processes that this program has started and that have not been taken from the kernel. */
function children(): string {
  return readTextFile(`/proc/self/task/${getpid()}/children`).trim();
}

test("a connection gets a shell with a terminal of its own, and its end is the connection's", async () => {
  const { ours, theirs } = socketPair();
  using client = new FdStream(theirs);
  const attended = attendShell(new FdStream(ours));
  await client.write(utf8Encode("test -t 0 && echo is-$((40 + 2)) && tty\n"));
  const text = await readUntil(client, "/dev/pts/");
  assert(text.includes("is-42"), text);
  await client.write(utf8Encode("exit\n"));
  await attended;
  while (children() !== "") await new Promise<void>((resolve) => void loop.after(5, resolve));
});

test("the shell ends when the connection does", async () => {
  const { ours, theirs } = socketPair();
  const client = new FdStream(theirs);
  const attended = attendShell(new FdStream(ours));
  await client.write(utf8Encode("echo ready-$((1 + 1))\n"));
  await readUntil(client, "ready-2");
  client.close();
  await attended;
  while (children() !== "") await new Promise<void>((resolve) => void loop.after(5, resolve));
});

runTests();
