import { expect, test } from "vitest";
import { encodeQuestion, hostsEntries, nameServers, parseAnswer } from "./resolve-host.ts";

const A = 1;
const AAAA = 28;

/** The answer to `question` with these records after it. */
function answer(question: Uint8Array, ...records: readonly number[][]): Uint8Array {
  const bytes = Uint8Array.from([...question, ...records.flat()]);
  bytes[2] = 0x81;
  bytes[7] = records.length;
  return bytes;
}

/** A record of the name that the question is about. */
function record(type: number, data: readonly number[]): number[] {
  return [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length, ...data];
}

test("encodeQuestion() asks for one name", () => {
  expect([...encodeQuestion("ab.c", A, Uint8Array.of(1, 2))]).toEqual([
    ...[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    ...[2, 97, 98, 1, 99, 0, 0, A, 0, 1],
  ]);
});

test.each(["", "a..b", `${"a".repeat(64)}.b`, "a b", "ä.example"])(
  "encodeQuestion() refuses the name %j",
  (host) => {
    expect(() => encodeQuestion(host, A, Uint8Array.of(0, 0))).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  },
);

test("parseAnswer() takes addresses, and passes over the names on the way to them", () => {
  const question = encodeQuestion("a.b", A, Uint8Array.of(0, 1));
  const alias = record(5, [1, 120, 0xc0, 12]);
  const found = parseAnswer(answer(question, alias, record(A, [10, 0, 0, 1]), record(A, [10, 0, 0, 2])), A);
  expect(found.map((address) => [...address])).toEqual([
    [10, 0, 0, 1],
    [10, 0, 0, 2],
  ]);
  const six = Array.from({ length: 16 }, (_, index) => index);
  expect(parseAnswer(answer(question, record(AAAA, six)), AAAA).map((address) => [...address])).toEqual([
    six,
  ]);
});

test("parseAnswer() finds nothing in an answer that is cut, or lies about its lengths", () => {
  const question = encodeQuestion("a.b", A, Uint8Array.of(0, 1));
  const whole = answer(question, record(A, [10, 0, 0, 1]));
  for (let length = question.length; length < whole.length; length++) {
    expect(parseAnswer(whole.slice(0, length), A)).toEqual([]);
  }
  expect(parseAnswer(answer(question, record(A, [10, 0, 0])), A)).toEqual([]);
  const endless = answer(question, [63, 0]);
  expect(parseAnswer(endless, A)).toEqual([]);
});

test("hostsEntries() and nameServers() read the system's files", () => {
  const hosts =
    "127.0.0.1 localhost\n# 10.0.0.9 registry\n10.0.0.1 other registry # comment\nnonsense registry\n";
  expect(hostsEntries(hosts, "registry").map((address) => [...address])).toEqual([[10, 0, 0, 1]]);
  const servers = "search x\nnameserver 10.0.0.2\nnameserver bad\n nameserver 10.0.0.3 \n";
  expect(nameServers(servers).map((address) => [...address])).toEqual([
    [10, 0, 0, 2],
    [10, 0, 0, 3],
  ]);
});
