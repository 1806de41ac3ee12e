/** The codec in the engine host, whose text primitives are not those of the unit tests. */
import { decodeCreateContainerRequest, encodeCreateContainerRequest } from "../../build/generated/agent.ts";
import { decodeLinux, encodeLinux } from "../../build/generated/oci.ts";
import { decodeTimestamp, encodeTimestamp } from "../../build/generated/timestamp.ts";
import { decodeDoubleValue, encodeDoubleValue } from "../../build/generated/wrappers.ts";
import { hasCode } from "../kata-error.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../sys/testing/native-test.ts";
import { utf8Encode } from "../sys/utf8.ts";

/** The encoding of a text field by the book: tag, length as a varint, UTF-8. */
function textField(tag: number, text: string): Uint8Array {
  const content = utf8Encode(text);
  const head = [tag];
  let length = content.length;
  for (; length > 0x7f; length >>>= 7) head.push((length & 0x7f) | 0x80);
  head.push(length);
  const bytes = new Uint8Array(head.length + content.length);
  bytes.set(head);
  bytes.set(content, head.length);
  return bytes;
}

test("text of any length and script is encoded by the book and comes back", () => {
  for (const character of ["a", "é", "€", "😀"]) {
    // Around the lengths where the varint in front of the text grows, in bytes and in UTF-16 units.
    for (const count of [1, 31, 32, 42, 43, 63, 64, 127, 128, 129, 5461, 5462, 8191, 8192, 16_383, 16_384]) {
      const containerId = character.repeat(count);
      const bytes = encodeCreateContainerRequest({ containerId });
      assertEqual(bytes, textField(10, containerId), `${count} times ${character}`);
      const decoded = decodeCreateContainerRequest(bytes);
      assert(decoded.containerId === containerId, `${count} times ${character} comes back`);
    }
  }
});

test("text in lists and maps comes back", () => {
  const MaskedPaths = ["/proc/kcore", "", "/päth", "x".repeat(300), "last"];
  const Sysctl = new Map([
    ["net.ipv4.ip_forward", "1"],
    ["ключ", ""],
  ]);
  const decoded = decodeLinux(encodeLinux({ MaskedPaths, Sysctl }));
  assertEqual(decoded.MaskedPaths, MaskedPaths);
  assertEqual([...decoded.Sysctl], [...Sysctl]);
});

test("numbers of 64 bits and doubles come back", () => {
  for (const seconds of [0n, 1n, -1n, 0x7fff_ffffn, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    assertEqual(decodeTimestamp(encodeTimestamp({ seconds })), { seconds, nanos: 0 });
  }
  for (const value of [0.1, -0, Number.MAX_VALUE, Number.NaN, Number.NEGATIVE_INFINITY]) {
    assertEqual(decodeDoubleValue(encodeDoubleValue({ value })), { value });
  }
});

test("text that is not UTF-8 is refused", async () => {
  for (const content of [
    [0xff],
    [0xc3, 0x28],
    [0xe2, 0x82],
    [0xf0, 0x9f, 0x98],
    [0xc0, 0x80],
    [0x61, 0x80],
  ]) {
    await assertThrows(
      () => decodeCreateContainerRequest(Uint8Array.from([10, content.length, ...content])),
      (error) => hasCode(error, "malformed-message"),
      `a refusal of ${content}`,
    );
  }
});

/** Marsaglia's xorshift: the same damage in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

test("10,000 damaged messages are refused or decoded, but never break the engine", () => {
  const proper = encodeCreateContainerRequest({
    containerId: "c1",
    storages: [{ driver: "blk", options: ["ro", "nodev"], fsGroup: { groupId: 7 } }],
    OCI: {
      Process: { Args: ["sh"], Env: ["A=é"], User: { UID: 1, AdditionalGids: [1, 2, 300] } },
      Annotations: { a: "b" },
      Linux: {
        Resources: { Memory: { Limit: -1n } },
        Seccomp: { Syscalls: [{ Names: ["read"], errnoret: 1 }] },
      },
    },
  });
  const random = randomNumbers(20_260_101);
  let refused = 0;
  for (let index = 0; index < 10_000; index++) {
    const bytes = proper.slice(0, random(8) === 0 ? random(proper.length) : proper.length);
    for (let change = random(4); change >= 0; change--) bytes[random(bytes.length + 1)] = random(256);
    try {
      decodeCreateContainerRequest(bytes);
    } catch (error) {
      if (!hasCode(error, "malformed-message")) throw error;
      refused++;
    }
  }
  assert(refused > 1000 && refused < 10_000, `some are refused and some are not: ${refused} are`);
});

runTests();
