/**
 * The addresses of a host: the guest has no library that asks for them.
 *
 * `/etc/hosts` comes first, then the name servers of `/etc/resolv.conf`, each with one question for either kind of address.
 * Sources: hosts(5), resolv.conf(5), RFC 1035 sections 4.1 and 4.1.4, RFC 3596.
 */
import { describeError, KataError } from "../../kata-error.ts";
import { readTextFileIfExists } from "../../sys/files.ts";
import { askOverUdp } from "../../sys/internet.ts";
import { parseIpAddress } from "../../sys/netlink/ip-address.ts";
import { randomBytes } from "../../sys/random.ts";
import { utf8Encode } from "../../sys/utf8.ts";

const DNS_PORT = 53;
const ANSWER_MS = 5000;
const TRIES = 2;
/** Name servers that are asked. Source: resolv.conf(5), MAXNS. */
const MAX_SERVERS = 3;
const TYPE_A = 1;
const TYPE_AAAA = 28;
const CLASS_IN = 1;
const HEADER_BYTES = 12;
/** Most records of an answer that are looked at. */
const MAX_RECORDS = 64;

/** Addresses of `host`, 4 or 16 bytes each, at least one. @throws KataError `not-found`. */
export async function resolveHost(host: string): Promise<readonly Uint8Array[]> {
  const literal = addressOf(host.replace(/^\[|\]$/g, ""));
  if (literal !== undefined) return [literal];
  const listed = hostsEntries(readTextFileIfExists("/etc/hosts") ?? "", host);
  if (listed.length > 0) return listed;
  const failures: string[] = [];
  for (const server of nameServers(readTextFileIfExists("/etc/resolv.conf") ?? "")) {
    for (const type of [TYPE_A, TYPE_AAAA]) {
      try {
        const found = await ask(server, host, type);
        if (found.length > 0) return found;
      } catch (error) {
        failures.push(describeError(error));
      }
    }
  }
  throw new KataError("not-found", {
    operation: "find address of",
    object: host,
    hint: failures[0] ?? "no name server of the guest's /etc/resolv.conf knows it",
  });
}

function addressOf(text: string): Uint8Array | undefined {
  try {
    return parseIpAddress(text);
  } catch (error) {
    if (error instanceof KataError) return undefined;
    throw error;
  }
}

export function hostsEntries(text: string, host: string): Uint8Array[] {
  return text.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    const parsed = names.includes(host) ? addressOf(address) : undefined;
    return parsed === undefined ? [] : [parsed];
  });
}

export function nameServers(text: string): Uint8Array[] {
  const found = text.split("\n").flatMap((line) => {
    const [, address] = /^nameserver\s+(\S+)/.exec(line.trim()) ?? [];
    const parsed = address === undefined ? undefined : addressOf(address);
    return parsed === undefined ? [] : [parsed];
  });
  return found.slice(0, MAX_SERVERS);
}

async function ask(server: Uint8Array, host: string, type: number): Promise<Uint8Array[]> {
  const question = encodeQuestion(host, type, randomBytes(2));
  for (let left = TRIES; ; left--) {
    try {
      const answer = await askOverUdp(
        server,
        DNS_PORT,
        question,
        (datagram) => answers(datagram, question),
        ANSWER_MS,
      );
      return parseAnswer(answer, type);
    } catch (error) {
      if (left <= 1 || !(error instanceof KataError) || error.code !== "deadline-exceeded") throw error;
    }
  }
}

/** @param id two bytes. @throws KataError `invalid-argument` for what is no host's name. */
export function encodeQuestion(host: string, type: number, id: Uint8Array): Uint8Array {
  const labels = host.replace(/\.$/, "").split(".");
  if (host.length > 253 || labels.some((label) => !/^[A-Za-z0-9_-]{1,63}$/.test(label))) {
    throw new KataError("invalid-argument", {
      operation: "find address of",
      object: JSON.stringify(host.slice(0, 253)),
    });
  }
  const name = labels.flatMap((label) => [label.length, ...utf8Encode(label)]);
  // Recursion is desired; one question.
  const header = [...id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  return new Uint8Array([...header, ...name, 0, 0, type, 0, CLASS_IN]);
}

/** Whether a datagram answers the question, and no other. */
function answers(datagram: Uint8Array, question: Uint8Array): boolean {
  if (datagram.length < question.length || (datagram[2] ?? 0) < 0x80) return false;
  return question.every((byte, at) => (at >= 2 && at < HEADER_BYTES ? true : datagram[at] === byte));
}

/** The addresses in an answer to one question. What is no address, such as another name, is passed over. */
export function parseAnswer(answer: Uint8Array, type: number): Uint8Array[] {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
  const found: Uint8Array[] = [];
  const records = Math.min(view.getUint16(6), MAX_RECORDS);
  let at = skipName(answer, HEADER_BYTES) + 4;
  for (let record = 0; record < records; record++) {
    at = skipName(answer, at);
    if (at + 10 > answer.length) break;
    const length = view.getUint16(at + 8);
    const data = answer.subarray(at + 10, at + 10 + length);
    const wanted = type === TYPE_A ? 4 : 16;
    if (view.getUint16(at) === type && view.getUint16(at + 2) === CLASS_IN && data.length === wanted) {
      found.push(data.slice());
    }
    at += 10 + length;
  }
  return found;
}

/** Labels up to an empty one, or a pointer to more of them. */
function skipName(bytes: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at] ?? 0;
    if (length >= 0xc0) return at + 2;
    at += 1 + length;
    if (length === 0 || at >= bytes.length) return at;
  }
}
