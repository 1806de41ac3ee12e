/**
 * Compacting the guest's memory, so that free pages lie together and can go back to the host in large blocks.
 *
 * A round is left out when programs have waited for memory since the last one, or when too few small free blocks have come
 * since then; a compaction stops when programs begin to wait.
 * Sources: Linux Documentation/accounting/psi.rst, admin-guide/sysctl/vm.rst (compact_memory), filesystems/proc.rst
 * (pagetypeinfo); upstream's docs/how-to/how-to-use-memory-agent.md for the parameters.
 */
import type { Clock, Timer } from "../../sys/clock.ts";

export interface CompactionSettings {
  readonly disabled: boolean;
  readonly periodSeconds: number;
  /** Share of a period in which programs waited, above which the round is left out, percent. */
  readonly periodPressureLimit: number;
  /** The same while it compacts, looked at each second; above it, it stops. */
  readonly pressureLimit: number;
  readonly maxSeconds: number;
  /** Blocks of 2^order pages are what is wanted. */
  readonly order: number;
  /** Pages in smaller free blocks that have to come together before it is worth it. */
  readonly threshold: number;
  /** Rounds that may be left out before one is forced; Infinity for never. */
  readonly forceTimes: number;
}

export const DEFAULT_COMPACTION: CompactionSettings = {
  disabled: false,
  periodSeconds: 600,
  periodPressureLimit: 1,
  pressureLimit: 5,
  maxSeconds: 180,
  order: 9,
  threshold: 1024,
  forceTimes: Number.POSITIVE_INFINITY,
};

/** What the compactor asks of a machine. */
export interface CompactableMachine {
  /** Microseconds for which a program has waited for memory or for I/O, since the machine's start. */
  waited(): number;
  freePages(): number;
  /** Pages in movable free blocks that are smaller than 2^order pages. */
  fragmentedPages(order: number): number;
  compact(): Compaction;
}

export interface Compaction {
  readonly ended: Promise<void>;
  stop(): void;
}

const CHECK_INTERVAL_MS = 1000;

/** Compacts in rounds, until it is closed. */
export class MemoryCompactor {
  #settings: CompactionSettings;
  readonly #machine: CompactableMachine;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #running: Compaction | undefined;
  #leftOut = 0;
  #last = { at: 0, waited: 0, fragmented: 0, free: 0 };

  constructor(settings: CompactionSettings, machine: CompactableMachine, clock: Clock) {
    this.#settings = settings;
    this.#machine = machine;
    this.#clock = clock;
    this.#last = { ...this.#last, at: clock.now(), waited: machine.waited() };
    this.#schedule();
  }

  /** Changes some settings; another period, and being turned on, begin now. */
  configure(change: Partial<CompactionSettings>): void {
    const before = this.#settings;
    this.#settings = { ...before, ...change };
    const { disabled, periodSeconds } = this.#settings;
    if (disabled) this.#running?.stop();
    if (disabled !== before.disabled || periodSeconds !== before.periodSeconds) this.#schedule();
  }

  close(): void {
    this.#timer?.cancel();
    this.#running?.stop();
  }

  #schedule(): void {
    this.#timer?.cancel();
    this.#timer = this.#settings.disabled
      ? undefined
      : this.#clock.after(this.#settings.periodSeconds * 1000, () => {
          this.#round();
          this.#schedule();
        });
  }

  #round(): void {
    if (this.#running !== undefined) return;
    const pressure = this.#pressureSince(this.#last.at, this.#last.waited);
    this.#last = { ...this.#last, at: this.#clock.now(), waited: this.#machine.waited() };
    const { periodPressureLimit, forceTimes } = this.#settings;
    const isWorthIt = this.#leftOut >= forceTimes || this.#isFragmented();
    if (pressure > periodPressureLimit || !isWorthIt) {
      this.#leftOut++;
      return;
    }
    this.#leftOut = 0;
    this.#compact();
  }

  /** Share of the time since `at` in which programs waited, percent. */
  #pressureSince(at: number, waited: number): number {
    const microseconds = (this.#clock.now() - at) * 1000;
    return microseconds <= 0 ? 0 : (100 * (this.#machine.waited() - waited)) / microseconds;
  }

  #isFragmented(): boolean {
    const { order, threshold } = this.#settings;
    const grown = this.#machine.fragmentedPages(order) - this.#last.fragmented;
    return grown > threshold || this.#last.free - this.#machine.freePages() > threshold;
  }

  #compact(): void {
    const running = this.#machine.compact();
    this.#running = running;
    const began = this.#clock.now();
    let [at, waited] = [began, this.#machine.waited()];
    const look = (): void => {
      const { pressureLimit, maxSeconds } = this.#settings;
      const tooLong = this.#clock.now() - began >= maxSeconds * 1000;
      if (tooLong || this.#pressureSince(at, waited) > pressureLimit) {
        running.stop();
        return;
      }
      [at, waited] = [this.#clock.now(), this.#machine.waited()];
      timer = this.#clock.after(CHECK_INTERVAL_MS, look);
    };
    let timer = this.#clock.after(CHECK_INTERVAL_MS, look);
    running.ended.then(() => {
      timer.cancel();
      this.#running = undefined;
      const fragmented = this.#machine.fragmentedPages(this.#settings.order);
      this.#last = { ...this.#last, fragmented, free: this.#machine.freePages() };
    });
  }
}

/** Microseconds of `some` in a file of /proc/pressure. */
export function parseWaited(text: string): number {
  return Number(/^some .*\btotal=(\d+)$/m.exec(text)?.[1] ?? 0);
}

/** Pages in movable free blocks of less than 2^order pages, by /proc/pagetypeinfo. */
export function parseFragmentedPages(text: string, order: number): number {
  let pages = 0;
  for (const [, counts = ""] of text.matchAll(/type\s+Movable((?:\s+>?\d+)+)\s*$/gm)) {
    // A count that is too large to be found out in time begins with '>'.
    const numbers = counts.trim().split(/\s+/);
    numbers.slice(0, order).forEach((count, at) => {
      pages += Number(count.replace(">", "")) * 2 ** at;
    });
  }
  return pages;
}
