/** A shim's side of the pool: asking for a machine, and what it gets. */
import { describeError, KataError } from "../../kata-error.ts";
import { sleep, withDeadline } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { connect, peerCredentials } from "../../sys/socket.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import type { RunningProgram } from "../hypervisor/supervised-program.ts";
import {
  DESCRIPTORS,
  type DescriptorName,
  isRecord,
  type MachineOffer,
  type PoolStatus,
  parseOffer,
  receiveLine,
  sendLine,
} from "./pool-protocol.ts";

/** The pool answers at once, or is not there; a pod does not wait for it, ms. */
const ANSWER_MS = 1000;
/** A report is a sentence with the last lines of a program. */
const MAX_REPORT_BYTES = 16 << 10;
/** After a process's end, its keeper's word on how it ended, ms. */
const KEEPERS_WORD_MS = 200;

export interface ClaimedMachine {
  readonly offer: MachineOffer;
  readonly descriptors: Readonly<Record<DescriptorName, FileDescriptor>>;
}

/** Asks the pool at `endpoint`. @throws KataError with the reason why there is no machine. */
export async function claimMachine(endpoint: string, key: string): Promise<ClaimedMachine> {
  const what = { operation: "claim machine", object: endpoint };
  const stream = await connect({ kind: "unix", path: endpoint });
  try {
    if (peerCredentials(stream.fd).uid !== 0) throw new KataError("permission-denied", what);
    await sendLine(stream, { do: "claim", key });
    const line = await withDeadline(loop, ANSWER_MS, what, receiveLine(stream));
    const offer = parseOffer(line?.value);
    if (line !== undefined && offer !== undefined && line.descriptors.length === DESCRIPTORS.length) {
      const named = DESCRIPTORS.map((name, index) => [name, line.descriptors[index]] as const);
      return { offer, descriptors: Object.fromEntries(named) as ClaimedMachine["descriptors"] };
    }
    for (const descriptor of line?.descriptors ?? []) descriptor.close();
    const reason = isRecord(line?.value) ? String(line.value.reason) : "it has closed the connection";
    throw new KataError("unavailable", { ...what, hint: reason });
  } finally {
    stream.close();
  }
}

/** What the pool at `endpoint` does. @throws KataError `system-call` with ENOENT or ECONNREFUSED if there is none. */
export async function askStatus(endpoint: string): Promise<PoolStatus> {
  const what = { operation: "ask pool", object: endpoint };
  const stream = await connect({ kind: "unix", path: endpoint });
  try {
    await sendLine(stream, { do: "status" });
    const line = await withDeadline(loop, ANSWER_MS, what, receiveLine(stream));
    if (isRecord(line?.value) && line.value.kind === "status") return line.value as unknown as PoolStatus;
    throw new KataError("malformed-message", what);
  } finally {
    stream.close();
  }
}

/** What the keeper of a machine tells of its processes. */
export class KeeperReports {
  readonly #stream: FdStream;
  readonly #ended = new Map<string, string>();

  /** Takes the lifeline over: the machine ends when this is closed. */
  constructor(lifeline: FileDescriptor) {
    this.#stream = new FdStream(lifeline);
    // A keeper that is gone tells nothing more; the processes are watched besides.
    this.#read().catch((error: unknown) => this.#ended.set("keeper", describeError(error)));
  }

  async #read(): Promise<void> {
    const bytes = new Uint8Array(MAX_REPORT_BYTES);
    let text = "";
    for (let count = await this.#stream.read(bytes); count > 0; count = await this.#stream.read(bytes)) {
      const lines = (text + utf8Decode(bytes.subarray(0, count))).split("\n");
      text = (lines.pop() ?? "").slice(-MAX_REPORT_BYTES);
      for (const line of lines) {
        const value: unknown = JSON.parse(line);
        if (isRecord(value)) this.#ended.set(String(value.ended), String(value.how));
      }
    }
  }

  /** One of the machine's processes. */
  program(name: string, pid: number, pidfd: FileDescriptor): RunningProgram {
    const exited = loop
      .readable(pidfd.fd)
      .catch(() => undefined)
      .then(async () => {
        const deadline = loop.now() + KEEPERS_WORD_MS;
        while (!this.#ended.has(name) && loop.now() < deadline) await sleep(loop, 5);
        loop.forget(pidfd.fd);
        pidfd.close();
        return this.#ended.get(name) ?? `${name} has ended`;
      });
    return { name, pid, pidfd, exited, tail: () => [] };
  }

  close(): void {
    this.#stream.close();
  }
}
