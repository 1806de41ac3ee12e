import { describe, expect, test } from "vitest";
import { FakeClock } from "../../../sys/testing/fake-clock.ts";
import { RestClient, type RestStream } from "../rest-client.ts";
import { CloudHypervisorApi } from "./api-client.ts";

const NO_CONTENT = "HTTP/1.1 204 \r\n\r\n";
/** What it says while a CPU is on its way out. */
const BUSY = "HTTP/1.1 429 \r\nContent-Length: 0\r\n\r\n";
const withBody = (body: string) =>
  `HTTP/1.1 200 \r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

/** A monitor that gives one answer after the other, the last one again and again. */
function monitor(...answers: readonly string[]) {
  const asked: string[] = [];
  const stream: RestStream = {
    read: async (into) => {
      const answer = new TextEncoder().encode(answers[Math.min(asked.length, answers.length) - 1] ?? "");
      into.set(answer);
      return answer.length;
    },
    write: async (bytes) => void asked.push(new TextDecoder().decode(bytes).split("\r\n")[0] ?? ""),
    writeWithDescriptors: (bytes) => stream.write(bytes),
    close: () => undefined,
  };
  const clock = new FakeClock();
  return { asked, clock, api: new CloudHypervisorApi(new RestClient("VMM", stream, clock), clock) };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("resize()", () => {
  test("is asked again every 20 ms while the monitor is busy with the change before", async () => {
    const { asked, clock, api } = monitor(BUSY, BUSY, NO_CONTENT);
    const done = api.resize({ desired_vcpus: 1 });
    for (let tries = 1; tries <= 2; tries++) {
      await settle();
      expect(asked).toHaveLength(tries);
      clock.advance(20);
    }
    await done;
    expect(asked).toEqual(Array(3).fill("PUT /api/v1/vm.resize HTTP/1.1"));
  });

  test("is given up after 20 tries", async () => {
    const { asked, clock, api } = monitor(BUSY);
    const done = api.resize({ desired_ram: 1 });
    const failed = expect(done).rejects.toMatchObject({ code: "resource-exhausted" });
    for (let tries = 0; tries < 30; tries++) {
      await settle();
      clock.advance(20);
    }
    await failed;
    expect(asked).toHaveLength(20);
  });

  test("fails at once for another reason", async () => {
    const { asked, api } = monitor("HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n");
    await expect(api.resize({ desired_vcpus: 9 })).rejects.toMatchObject({ code: "hypervisor-error" });
    expect(asked).toHaveLength(1);
  });
});

describe("hasDevice()", () => {
  test.each([
    ['{"config":{},"state":"Running","device_tree":{"disk0":{"id":"disk0"}}}', true],
    ['{"config":{},"state":"Running","device_tree":{"disk1":{"id":"disk1"}}}', false],
    // A monitor that does not tell must not be waited for without end.
    ['{"config":{},"state":"Running"}', false],
  ])("of %s is %s", async (info, has) => {
    const { asked, api } = monitor(withBody(info));
    expect(await api.hasDevice("disk0")).toBe(has);
    expect(asked).toEqual(["GET /api/v1/vm.info HTTP/1.1"]);
  });
});

describe("a device that is added", () => {
  test("has the address that the monitor tells, or none yet before the boot", async () => {
    const disk = {
      id: "disk0",
      path: "/d",
      readonly: true,
      image_type: "Raw",
      num_queues: 1,
      queue_size: 1,
      direct: false,
    } as const;
    const told = monitor(withBody('{"id":"disk0","bdf":"0000:00:05.0"}'));
    expect(await told.api.addDisk(disk)).toEqual({ id: "disk0", address: "0000:00:05.0" });
    expect(await monitor(NO_CONTENT).api.addDisk(disk)).toBeUndefined();
    const silent = monitor(withBody('{"id":"disk0"}'));
    await expect(silent.api.addDisk(disk)).rejects.toMatchObject({ code: "malformed-message" });
  });
});
