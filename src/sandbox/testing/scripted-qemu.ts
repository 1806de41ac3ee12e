/** QEMU's side of its monitor as a function: what it answers to a command, and the events that follow. For unit tests. */

import type { Clock } from "../../sys/clock.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import type { MonitorStream } from "../hypervisor/qemu/qmp-client.ts";
import { QmpClient } from "../hypervisor/qemu/qmp-client.ts";

export interface QemuReply {
  readonly value?: unknown;
  /** Instead of a value. */
  readonly error?: string;
  /** Names and data. */
  readonly events?: readonly (readonly [name: string, data: object])[];
}

const GREETING = {
  QMP: { version: { qemu: { micro: 0, minor: 2, major: 7 }, package: "" }, capabilities: [] },
};

export class ScriptedQemu implements MonitorStream {
  /** Commands and the most telling of their arguments, in order. */
  readonly told: string[] = [];
  readonly #script: (command: string, args: Readonly<Record<string, unknown>>) => QemuReply;
  readonly #lines: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(script: (command: string, args: Readonly<Record<string, unknown>>) => QemuReply) {
    this.#script = script;
    this.#say(GREETING);
  }

  connect(clock: Clock): Promise<QmpClient> {
    return QmpClient.connect(this, clock);
  }

  async read(into: Uint8Array): Promise<number> {
    while (this.#lines.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const line = this.#lines.shift();
    if (line === undefined) return 0;
    into.set(line);
    return line.length;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const { execute, arguments: args, id } = JSON.parse(utf8Decode(bytes));
    if (execute === "qmp_capabilities") {
      this.#say({ return: {}, id });
      return;
    }
    const about = args.id ?? args.value ?? "";
    this.told.push(`${execute} ${about}`.trim());
    const { value = {}, error, events = [] } = this.#script(execute, args);
    this.#say(
      error === undefined ? { return: value, id } : { error: { class: "GenericError", desc: error }, id },
    );
    for (const [event, data] of events) this.#say({ event, data });
  }

  writeWithDescriptors(bytes: Uint8Array): Promise<void> {
    return this.write(bytes);
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  #say(message: object): void {
    this.#lines.push(utf8Encode(`${JSON.stringify(message)}\r\n`));
    this.#wake?.();
  }
}
