/**
 * Hands events to containerd one after the other, in the order in which they happened, also across a restart of containerd.
 *
 * An event that cannot be handed over is tried again until it is too old; those behind it wait, since their order counts
 * more than their moment. Nothing here can fail or hold up a task.
 */
import { describeError } from "../../kata-error.ts";
import type { Logger } from "../../sandbox/types.ts";
import { type Clock, sleep } from "../../sys/clock.ts";
import type { EventSink, TaskEvent } from "./task-events.ts";

/** Hands one event over. @param at when it happened, ms since 1970. @throws if it did not arrive. */
export type DeliverEvent = (event: TaskEvent, at: number) => Promise<void>;

/** Most events that wait; the oldest is given up for a new one. containerd's own shims hold as many. */
export const MAX_QUEUED_EVENTS = 2048;
/** An event that did not arrive is given up after this time, ms: longer than a restart of containerd. */
export const MAX_EVENT_AGE_MS = 120_000;
/** Pause after a failure, ms: the first, and the longest that doubling it comes to. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

interface QueuedEvent {
  readonly event: TaskEvent;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** On the clock of the queue. */
  readonly queued: number;
}

export interface EventQueueParts {
  readonly deliver: DeliverEvent;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly logger: Logger;
}

export class EventQueue implements EventSink {
  readonly #parts: EventQueueParts;
  readonly #waiting: QueuedEvent[] = [];
  #sending: Promise<void> | undefined;

  constructor(parts: EventQueueParts) {
    this.#parts = parts;
  }

  publish(event: TaskEvent): void {
    const { clock, wallClock } = this.#parts;
    if (this.#waiting.length >= MAX_QUEUED_EVENTS) this.#giveUp("too many events wait");
    this.#waiting.push({ event, at: wallClock(), queued: clock.now() });
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
  }

  /** Settles when nothing waits any more, or after `ms`. */
  async flushed(ms: number): Promise<void> {
    if (this.#sending === undefined) return;
    const { clock, logger } = this.#parts;
    await new Promise<void>((resolve) => {
      const timer = clock.after(ms, resolve);
      this.#sending?.then(() => {
        timer.cancel();
        resolve();
      });
    });
    if (this.#waiting.length > 0)
      logger.warn("containerd was not told of events", { left: this.#waiting.length });
  }

  async #send(): Promise<void> {
    const { deliver, clock, logger } = this.#parts;
    let pause = FIRST_PAUSE_MS;
    for (let head = this.#waiting[0]; head !== undefined; head = this.#waiting[0]) {
      try {
        await deliver(head.event, head.at);
        pause = FIRST_PAUSE_MS;
        // While it was under way it may have been given up for a new one.
        if (this.#waiting[0] === head) this.#waiting.shift();
      } catch (error) {
        if (clock.now() - head.queued >= MAX_EVENT_AGE_MS) {
          if (this.#waiting[0] === head) this.#giveUp(describeError(error));
          continue;
        }
        logger.debug("event did not arrive", { topic: head.event.topic, error: describeError(error) });
        await sleep(clock, pause);
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    }
  }

  #giveUp(reason: string): void {
    const lost = this.#waiting.shift();
    this.#parts.logger.error("event is lost", { topic: lost?.event.topic, reason });
  }
}
