/** Mapped memory and memory files on the real kernel. */
import { hasCode, hasErrno } from "../kata-error.ts";
import { ftruncate, readDirectory, readTextFile, readToEnd, writeAll } from "./files.ts";
import { check, kernel } from "./kernel.ts";
import {
  addSeals,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  getSeals,
  mapAnonymous,
  mapDevice,
  mapFile,
  memfdCreate,
  sealedMemfd,
} from "./memory.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "./testing/native-test.ts";
import { utf8Decode, utf8Encode } from "./utf8.ts";

const PAGE = 4096;

function refused(action: () => void, ...errnos: string[]): Promise<unknown> {
  return assertThrows(action, (error) => hasErrno(error, ...errnos), errnos.join(" or "));
}

test("a sealed memory file holds its content and nobody can change it", async () => {
  using file = sealedMemfd("sealed", utf8Encode("for good"));
  assertEqual(utf8Decode(readToEnd(file.fd, "memfd")), "for good");
  assertEqual(getSeals(file.fd), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  await refused(() => writeAll(file.fd, utf8Encode("x")), "EPERM");
  await refused(() => ftruncate(file.fd, 0), "EPERM");
  await refused(() => ftruncate(file.fd, PAGE), "EPERM");
  await refused(() => addSeals(file.fd, F_SEAL_FUTURE_WRITE), "EPERM");
});

test("F_SEAL_FUTURE_WRITE leaves a mapping that is there writable, and refuses others", async () => {
  using file = memfdCreate("future");
  ftruncate(file.fd, PAGE);
  using before = mapDevice(file.fd, PAGE);
  addSeals(file.fd, F_SEAL_FUTURE_WRITE);
  new Uint8Array(before.buffer)[0] = 7;
  using reader = mapFile(file.fd, PAGE);
  assertEqual(new Uint8Array(reader.buffer)[0], 7);
  await refused(() => mapDevice(file.fd, PAGE), "EPERM");
});

test("two mappings of a file are the same memory", () => {
  using file = memfdCreate("shared");
  ftruncate(file.fd, 2 * PAGE);
  using first = mapDevice(file.fd, 2 * PAGE);
  using second = mapDevice(file.fd, PAGE, PAGE);
  new Uint8Array(first.buffer).set([1, 2, 3], PAGE);
  assertEqual([...new Uint8Array(second.buffer, 0, 4)], [1, 2, 3, 0]);
});

test("anonymous memory is zero, the kernel's addresses reach it, and it is gone after unmap()", async () => {
  const mapping = mapAnonymous(64 * PAGE);
  const bytes = new Uint8Array(mapping.buffer);
  assertEqual(bytes.length, 64 * PAGE);
  assert(
    bytes.every((byte) => byte === 0),
    "it is zero",
  );
  check(kernel().syscall("getrandom", mapping.address + PAGE, 16, 0), "fill", "mapping");
  assert(
    bytes.subarray(PAGE, PAGE + 16).some((byte) => byte !== 0),
    "the kernel has written into it",
  );
  assertEqual(bytes[PAGE - 1], 0);
  const inMaps = () =>
    readTextFile("/proc/self/maps").includes(mapping.address.toString(16).padStart(8, "0"));
  assertEqual(inMaps(), true);
  mapping.unmap();
  mapping.unmap();
  assertEqual(inMaps(), false);
  await assertThrows(
    () => mapping.buffer,
    (error) => hasCode(error, "closed"),
    "closed",
  );
});

test("a memory file that cannot be made leaves no descriptor", async () => {
  const before = readDirectory("/proc/self/fd").length;
  await refused(() => memfdCreate("x".repeat(300)).close(), "EINVAL");
  assertEqual(readDirectory("/proc/self/fd").length, before);
});

test("a buffer stays in its place while the engine collects around it", () => {
  const buffer = new Uint8Array(PAGE);
  const address = kernel().addressOf(buffer);
  let garbage: Uint8Array[] = [];
  for (let round = 0; round < 200; round++) {
    garbage.push(new Uint8Array(PAGE));
    if (garbage.length > 20) garbage = [];
  }
  assertEqual(kernel().addressOf(buffer), address);
  check(kernel().syscall("getrandom", address + 100, 8, 0), "fill", "buffer");
  assert(
    buffer.subarray(100, 108).some((byte) => byte !== 0),
    "the view sees what came through the address",
  );
  assertEqual(kernel().addressOf(buffer.subarray(100)), address + 100);
});

runTests();
