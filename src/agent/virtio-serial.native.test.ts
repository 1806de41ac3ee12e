import { sleep } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { mkdirAll, removeTree, writeFile } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { FakeClock } from "../sys/testing/fake-clock.ts";
import { assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { awaitSerialPort, expectsSerialPort, findSerialPort } from "./virtio-serial.ts";

const NAME = "org.katacontainers.agent.0";

interface Machine extends Disposable {
  readonly ports: string;
  readonly devices: string;
  addPort(file: string, name: string): void;
}

let machines = 0;

/** The part of sysfs that tells of virtio devices and ports. @param types of its devices. */
function machine(...types: number[]): Machine {
  const path = `/tmp/kata-agent-sysfs-test.${getpid()}.${machines++}`;
  const ports = `${path}/virtio-ports`;
  const devices = `${path}/devices`;
  mkdirAll(devices);
  for (const [index, type] of types.entries()) {
    mkdirAll(`${devices}/virtio${index}`);
    writeFile(`${devices}/virtio${index}/device`, `0x${type.toString(16).padStart(4, "0")}\n`);
  }
  return {
    ports,
    devices,
    addPort(file, name) {
      mkdirAll(`${ports}/${file}`);
      writeFile(`${ports}/${file}/name`, `${name}\n`);
    },
    [Symbol.dispose]() {
      removeTree(path);
    },
  };
}

test("a port is found by its name", () => {
  using sysfs = machine(3);
  assertEqual(findSerialPort(NAME, sysfs.ports), undefined);
  sysfs.addPort("vport0p1", "another");
  sysfs.addPort("vport0p2", NAME);
  assertEqual(findSerialPort(NAME, sysfs.ports), "/dev/vport0p2");
});

// The kernel announces ports after its driver is loaded: an agent that looked once would listen where nobody calls.
const machinesThatAreReached: [what: string, types: number[], byPort: boolean][] = [
  ["a serial device alone, whose port is not announced yet", [4, 3, 1], true],
  ["vsock alone", [19, 1], false],
  ["both, as upstream's hosts have a serial console", [3, 19], false],
  ["neither", [1, 2], false],
];
for (const [what, types, byPort] of machinesThatAreReached) {
  test(`a machine with ${what} ${byPort ? "awaits" : "does not await"} the port`, () => {
    using sysfs = machine(...types);
    assertEqual(expectsSerialPort(NAME, sysfs.ports, sysfs.devices), byPort);
  });
}

test("a port that is there is taken also beside vsock", () => {
  using sysfs = machine(3, 19);
  sysfs.addPort("vport0p1", NAME);
  assertEqual(expectsSerialPort(NAME, sysfs.ports, sysfs.devices), true);
});

test("awaitSerialPort() sees a port that is announced late", async () => {
  using sysfs = machine(3);
  const waiting = awaitSerialPort(NAME, loop, sysfs.ports);
  await sleep(loop, 20);
  sysfs.addPort("vport0p1", NAME);
  assertEqual(await waiting, true);
});

test("awaitSerialPort() gives up on a port that never comes", async () => {
  using sysfs = machine(3);
  const clock = new FakeClock();
  const waiting = awaitSerialPort(NAME, clock, sysfs.ports);
  for (let second = 0; second <= 31; second++) {
    clock.advance(1000);
    await Promise.resolve();
  }
  assertEqual(await waiting, false);
});

runTests();
