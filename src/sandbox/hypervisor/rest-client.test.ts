import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakeClock } from "../../sys/testing/fake-clock.ts";
import { RestClient, type RestStream } from "./rest-client.ts";

const OK = "HTTP/1.1 204 \r\nServer: VMM API\r\nConnection: keep-alive\r\n\r\n";
const withBody = (body: string, status = "200 OK") =>
  `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${new TextEncoder().encode(body).length}\r\n\r\n${body}`;

/** The monitor's side: what it was asked, what it says. */
class FakeMonitor implements RestStream {
  readonly asked: string[] = [];
  readonly descriptors: (readonly number[])[] = [];
  closed = false;
  /** Pieces that are read one by one. */
  readonly #pieces: Uint8Array[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  say(text: string, pieceLength = 1 << 20): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += pieceLength)
      this.#pieces.push(bytes.slice(at, at + pieceLength));
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async read(into: Uint8Array): Promise<number> {
    while (this.#pieces.length === 0 && !this.#ended && !this.closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const piece = this.#pieces.shift();
    if (piece === undefined) return 0;
    into.set(piece);
    return piece.length;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.asked.push(new TextDecoder().decode(bytes));
  }

  async writeWithDescriptors(bytes: Uint8Array, descriptors: readonly number[]): Promise<void> {
    this.descriptors.push(descriptors);
    await this.write(bytes);
  }

  close(): void {
    this.closed = true;
    this.#wake();
  }
}

function setUp() {
  const monitor = new FakeMonitor();
  const clock = new FakeClock();
  return { monitor, clock, client: new RestClient("VMM", monitor, clock) };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("a request", () => {
  test("with a body is sent as JSON, and its answer's JSON comes back", async () => {
    const { monitor, client } = setUp();
    const answer = client.request({ method: "PUT", path: "/api/v1/vm.create", body: { a: "ü" } });
    monitor.say(withBody('{"b":1}'));
    expect(await answer).toEqual({ status: 200, value: { b: 1 } });
    expect(monitor.asked).toEqual([
      'PUT /api/v1/vm.create HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"a":"ü"}',
    ]);
  });

  test("without a body says so, and an answer without one is undefined", async () => {
    const { monitor, client } = setUp();
    monitor.say(OK);
    expect(await client.request({ method: "GET", path: "/" })).toEqual({ status: 204, value: undefined });
    expect(monitor.asked).toEqual([
      "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n",
    ]);
  });

  test("takes descriptors along", async () => {
    const { monitor, client } = setUp();
    monitor.say(OK);
    await client.request({ method: "PUT", path: "/net", body: {}, descriptors: [7, 8] });
    expect(monitor.descriptors).toEqual([[7, 8]]);
  });

  test("waits until the one before has its answer", async () => {
    const { monitor, client } = setUp();
    const first = client.request({ method: "GET", path: "/1" });
    const second = client.request({ method: "GET", path: "/2" });
    await settle();
    expect(monitor.asked.length).toBe(1);
    monitor.say(withBody("1"));
    expect((await first).value).toBe(1);
    await settle();
    expect(monitor.asked.length).toBe(2);
    monitor.say(withBody("2"));
    expect((await second).value).toBe(2);
  });

  test("gets its answer however that is cut into pieces, also behind a 100 Continue", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.jsonValue(),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        async (value, length, goOn) => {
          const { monitor, client } = setUp();
          const first = client.request({ method: "GET", path: "/1" });
          const second = client.request({ method: "GET", path: "/2" });
          monitor.say(
            `${goOn ? "HTTP/1.1 100 Continue\r\n\r\n" : ""}${withBody(JSON.stringify(value))}${OK}`,
            length,
          );
          expect((await first).value).toEqual(JSON.parse(JSON.stringify(value)));
          expect((await second).status).toBe(204);
        },
      ),
    );
  });
});

describe("a refusal", () => {
  test.each([
    ["404 Not Found", "not-found"],
    ["429 Too Many Requests", "resource-exhausted"],
    ["500 Internal Server Error", "hypervisor-error"],
    ["400 Bad Request", "hypervisor-error"],
  ])("%s has the monitor's words on one line, and the next request goes on", async (status, code) => {
    const { monitor, client } = setUp();
    const refused = client.request({ method: "PUT", path: "/x" });
    monitor.say(withBody('["no\n\x1b[31m", "why"]', status));
    await expect(refused).rejects.toMatchObject({
      code,
      message: `VMM: PUT /x: ${status.slice(0, 3)} ["no [31m", "why"]`,
    });
    monitor.say(OK);
    expect((await client.request({ method: "GET", path: "/y" })).status).toBe(204);
  });
});

test("a refusal that is an object with a sentence is told as that sentence", async () => {
  const { monitor, client } = setUp();
  const refused = client.request({ method: "PUT", path: "/x" });
  monitor.say(withBody('{"fault_message":"not \\"now\\""}', "400 Bad Request"));
  await expect(refused).rejects.toMatchObject({ message: 'VMM: PUT /x: 400 "not \\"now\\""' });
});

describe("a monitor that does not keep to the protocol", () => {
  test.each([
    ["no HTTP", "SMTP 220\r\n\r\n", "malformed-message"],
    [
      "a body in chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "malformed-message",
    ],
    [
      "two lengths",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
      "malformed-message",
    ],
    ["no number as length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "malformed-message"],
    ["a body that is no JSON", withBody("{"), "malformed-message"],
    ["a huge body", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "oversized-message"],
    ["a head without end", `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(4000)}`, "oversized-message"],
  ])("by %s is cut off, and all that follows fails", async (_what, text, code) => {
    const { monitor, client } = setUp();
    const asked = client.request({ method: "GET", path: "/1" });
    monitor.say(text, 4096);
    await expect(asked).rejects.toMatchObject({ code });
    expect(monitor.closed).toBe(true);
    await expect(client.request({ method: "GET", path: "/2" })).rejects.toMatchObject({ code });
    expect(monitor.asked.length).toBe(1);
  });

  test("by hanging up leaves nobody waiting", async () => {
    const { monitor, client } = setUp();
    const asked = [
      client.request({ method: "GET", path: "/1" }),
      client.request({ method: "GET", path: "/2" }),
    ];
    monitor.end();
    for (const each of asked) await expect(each).rejects.toMatchObject({ code: "unavailable" });
  });

  test("by silence is given up at the deadline, as a late answer cannot be told from the next", async () => {
    const { monitor, clock, client } = setUp();
    const asked = client.request({ method: "GET", path: "/slow", deadlineMs: 50 });
    const failed = expect(asked).rejects.toMatchObject({ code: "deadline-exceeded" });
    await settle();
    clock.advance(50);
    await failed;
    await expect(client.request({ method: "GET", path: "/next" })).rejects.toMatchObject({
      code: "deadline-exceeded",
    });
    expect(monitor.closed).toBe(true);
  });
});

test("after close() every request fails", async () => {
  const { monitor, client } = setUp();
  client.close();
  await expect(client.request({ method: "GET", path: "/" })).rejects.toMatchObject({ code: "closed" });
  expect(monitor.asked).toEqual([]);
});
