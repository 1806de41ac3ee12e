/** containerd's events, as `ctr events` prints them: time, namespace, topic and the event as JSON on one line. */
import type { LiveCommand } from "./command.ts";
import type { Ctr } from "./ctr.ts";

export interface TaskEvent {
  /** Such as `/tasks/exit`. */
  readonly topic: string;
  readonly event: Readonly<Record<string, unknown>>;
}

/** Collects events until the end of its scope. */
export class EventCollection implements AsyncDisposable {
  readonly #live: LiveCommand;

  constructor(live: LiveCommand) {
    this.#live = live;
  }

  /** All events of the namespace so far, in the order of their arrival. */
  get seen(): readonly TaskEvent[] {
    return parseEvents(this.#live.stdout);
  }

  async until(
    what: string,
    condition: (seen: readonly TaskEvent[]) => boolean,
    deadlineMs?: number,
  ): Promise<void> {
    await this.#live.until(what, () => condition(this.seen), deadlineMs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#live[Symbol.asyncDispose]();
  }
}

/** Starts to collect; returns when the subscription is in force. */
export async function collectEvents(ctr: Ctr): Promise<EventCollection> {
  const live = ctr.start(["events"]);
  // The client does not say when containerd has its subscription, so label changes are made until one is seen.
  const probe = `probe-${process.pid}`;
  for (let attempt = 0; !live.stdout.includes(probe); attempt++) {
    if (!live.running || attempt > 100) {
      await live[Symbol.asyncDispose]();
      throw new Error(`ctr events shows nothing: ${live.stderr}`);
    }
    await ctr.must(["namespaces", "label", ctr.instance.tag, `${probe}=${attempt}`]);
  }
  return new EventCollection(live);
}

/** Lines look like `2026-01-02 03:04:05.678 +0000 UTC NAMESPACE /tasks/exit {…}`; the last may be incomplete. */
function parseEvents(text: string): TaskEvent[] {
  const complete = text.slice(0, text.lastIndexOf("\n") + 1);
  return complete.split("\n").flatMap((line) => {
    const match = /^\S+ \S+ \S+ \S+ \S+ (\/\S+) (\{.*\})$/.exec(line);
    const [, topic, json] = match ?? [];
    return topic === undefined || json === undefined ? [] : [{ topic, event: JSON.parse(json) }];
  });
}
