import { describe, expect, test } from "vitest";
import { FakeClock } from "../../sys/testing/fake-clock.ts";
import {
  DEFAULT_COMPACTION,
  MemoryCompactor,
  parseFragmentedPages,
  parseWaited,
} from "./memory-compaction.ts";

/** A machine whose figures a test sets. */
class FakeMachine {
  waitedUs = 0;
  free = 10_000;
  fragmented = 0;
  compactions = 0;
  stopped = 0;
  #end: () => void = () => undefined;

  waited = () => this.waitedUs;
  freePages = () => this.free;
  fragmentedPages = () => this.fragmented;
  compact = () => {
    this.compactions++;
    const ended = new Promise<void>((resolve) => {
      this.#end = resolve;
    });
    return {
      ended,
      stop: () => {
        this.stopped++;
        this.#end();
      },
    };
  };

  /** The compaction ends by itself. */
  async finish(): Promise<void> {
    this.#end();
    await Promise.resolve();
    await Promise.resolve();
  }
}

function setUp(change = {}) {
  const machine = new FakeMachine();
  const clock = new FakeClock();
  const compactor = new MemoryCompactor({ ...DEFAULT_COMPACTION, ...change }, machine, clock);
  return { machine, clock, compactor };
}

const PERIOD_MS = 600_000;

describe("MemoryCompactor", () => {
  test("compacts after a quiet period when enough small blocks have come since the last time", async () => {
    const { machine, clock } = setUp();
    machine.fragmented = 1025;
    clock.advance(PERIOD_MS - 1);
    expect(machine.compactions).toBe(0);
    clock.advance(1);
    expect(machine.compactions).toBe(1);
    await machine.finish();
    // As much as after the last compaction is no reason for another one.
    clock.advance(PERIOD_MS);
    expect(machine.compactions).toBe(1);
    machine.fragmented = 2050;
    clock.advance(PERIOD_MS);
    expect(machine.compactions).toBe(2);
  });

  test("compacts when free memory has shrunk by the threshold", async () => {
    const { machine, clock } = setUp();
    machine.fragmented = 2000;
    clock.advance(PERIOD_MS);
    await machine.finish();
    machine.free -= 1025;
    clock.advance(PERIOD_MS);
    expect(machine.compactions).toBe(2);
  });

  test("leaves a round out when programs have waited for more than the limit", () => {
    const { machine, clock } = setUp();
    machine.fragmented = 5000;
    machine.waitedUs = PERIOD_MS * 10 + 1;
    clock.advance(PERIOD_MS);
    expect(machine.compactions).toBe(0);
    // They have not waited since.
    clock.advance(PERIOD_MS);
    expect(machine.compactions).toBe(1);
  });

  test("forces a compaction after so many rounds without one", () => {
    const { machine, clock } = setUp({ forceTimes: 3 });
    clock.advance(3 * PERIOD_MS);
    expect(machine.compactions).toBe(0);
    clock.advance(PERIOD_MS);
    expect(machine.compactions).toBe(1);
  });

  test("stops a compaction when programs begin to wait, and when it takes too long", () => {
    const busy = setUp();
    busy.machine.fragmented = 5000;
    busy.clock.advance(PERIOD_MS);
    busy.machine.waitedUs += 50_001;
    busy.clock.advance(1000);
    expect(busy.machine.stopped).toBe(1);

    const slow = setUp({ maxSeconds: 3 });
    slow.machine.fragmented = 5000;
    slow.clock.advance(PERIOD_MS + 2000);
    expect(slow.machine.stopped).toBe(0);
    slow.clock.advance(1000);
    expect(slow.machine.stopped).toBe(1);
  });

  test("runs no second compaction beside the first", () => {
    const { machine, clock } = setUp({ maxSeconds: 10_000 });
    machine.fragmented = 5000;
    clock.advance(2 * PERIOD_MS);
    expect(machine.compactions).toBe(1);
  });

  test("takes new settings at once, and stops when it is disabled or closed", () => {
    const { machine, clock, compactor } = setUp();
    machine.fragmented = 5000;
    compactor.configure({ periodSeconds: 10 });
    clock.advance(10_000);
    expect(machine.compactions).toBe(1);
    compactor.configure({ disabled: true });
    expect(machine.stopped).toBe(1);
    const { machine: other, clock: otherClock, compactor: closed } = setUp({ disabled: true });
    other.fragmented = 5000;
    otherClock.advance(PERIOD_MS);
    expect([other.compactions, otherClock.pending]).toEqual([0, 0]);
    closed.configure({ disabled: false });
    otherClock.advance(PERIOD_MS);
    expect(other.compactions).toBe(1);
    closed.close();
    expect(other.stopped).toBe(1);
  });
});

test("parseWaited() takes the time in which some program waited", () => {
  const text =
    "some avg10=0.00 avg60=0.10 avg300=0.00 total=1024989\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
  expect(parseWaited(text)).toBe(1_024_989);
  expect(parseWaited("")).toBe(0);
});

test("parseFragmentedPages() counts movable blocks that are smaller than wanted, in every zone", () => {
  const text = `Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2      3
Node    0, zone      DMA, type    Unmovable      1      1      1      1
Node    0, zone      DMA, type      Movable      3      2      1      9
Node    0, zone   Normal, type      Movable >10000      0      4      9
Node    0, zone   Normal, type  Reclaimable      5      5      5      5

Number of blocks type     Unmovable      Movable
Node 0, zone      DMA            1            7
`;
  expect(parseFragmentedPages(text, 3)).toBe(3 + 4 + 4 + 10_000 + 16);
  expect(parseFragmentedPages(text, 0)).toBe(0);
});
