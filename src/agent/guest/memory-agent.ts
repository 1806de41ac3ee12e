/**
 * The agent's care for the guest's memory, if the host has asked for it (`agent.mem_agent_enable`).
 *
 * Compaction is done; aging of cgroups' pages is not: it takes a kernel with multi-generational LRU, which ours is built without.
 */
import { KataError } from "../../kata-error.ts";
import { loop } from "../../sys/event-loop.ts";
import { exists, readTextFile, readTextFileIfExists, writeExisting } from "../../sys/files.ts";
import { clone, closeFrom, PR_SET_PDEATHSIG, pidfdSendSignal, prctl, SIGKILL } from "../../sys/process.ts";
import { exit } from "../../sys/program.ts";
import type { ChildReaper } from "../child-reaper.ts";
import {
  type CompactableMachine,
  type CompactionSettings,
  MemoryCompactor,
  parseFragmentedPages,
  parseWaited,
} from "./memory-compaction.ts";

export interface MemoryAgentSettings {
  readonly enabled: boolean;
  readonly compaction: CompactionSettings;
}

const COMPACT_FILE = "/proc/sys/vm/compact_memory";
const PRESSURE_FILES = ["/proc/pressure/memory", "/proc/pressure/io"] as const;

export class MemoryAgent {
  readonly #compactor: MemoryCompactor | undefined;

  /** @param isGuest whether the memory is the agent's to care for. */
  constructor({ enabled, compaction }: MemoryAgentSettings, isGuest: boolean, reaper: ChildReaper) {
    if (!enabled || !isGuest) return;
    const missing = missingFile();
    // Told to who changes the settings; a guest without it runs all the same.
    if (missing === undefined) this.#compactor = new MemoryCompactor(compaction, thisMachine(reaper), loop);
  }

  /** @throws KataError `failed-precondition` if it is not enabled, `unsupported` if the kernel lacks what it takes. */
  configureCompaction(change: Partial<CompactionSettings>, enabled: boolean): void {
    this.#requireEnabled(enabled);
    if (this.#compactor === undefined) {
      throw new KataError("unsupported", {
        operation: "set compaction of memory",
        object: `this machine has no ${missingFile() ?? "memory of its own"}`,
      });
    }
    this.#compactor.configure(change);
  }

  /** Aging can be turned off, which it is. @throws KataError `unsupported` for all else. */
  configureAging(isTurnedOff: boolean, enabled: boolean): void {
    this.#requireEnabled(enabled);
    if (isTurnedOff) return;
    throw new KataError("unsupported", {
      operation: "set aging of memory",
      object: exists("/sys/kernel/mm/lru_gen")
        ? "this agent does not age memory"
        : "the kernel has no multi-generational LRU",
    });
  }

  #requireEnabled(enabled: boolean): void {
    if (enabled) return;
    throw new KataError("failed-precondition", {
      operation: "set memory agent",
      object: "it is not enabled",
      hint: "agent.mem_agent_enable=1 on the guest's command line enables it",
    });
  }

  close(): void {
    this.#compactor?.close();
  }
}

function missingFile(): string | undefined {
  return [COMPACT_FILE, "/proc/pagetypeinfo", ...PRESSURE_FILES].find((file) => !exists(file));
}

/** Longest /proc/pagetypeinfo: some lines for each zone. */
const MAX_PAGE_TYPES_BYTES = 1 << 20;
const KIBIBYTES_PER_PAGE = 4;

function thisMachine(reaper: ChildReaper): CompactableMachine {
  return {
    waited: () =>
      PRESSURE_FILES.reduce((sum, file) => sum + parseWaited(readTextFileIfExists(file) ?? ""), 0),
    freePages: () => {
      const free = /^MemFree:\s+(\d+) kB$/m.exec(readTextFile("/proc/meminfo"))?.[1];
      return Number(free ?? 0) / KIBIBYTES_PER_PAGE;
    },
    fragmentedPages: (order) =>
      parseFragmentedPages(readTextFile("/proc/pagetypeinfo", MAX_PAGE_TYPES_BYTES), order),
    compact: () => startCompaction(reaper),
  };
}

/** The write lasts as long as the compaction does, so a clone makes it; it ends early when it is killed. */
function startCompaction(reaper: ChildReaper) {
  const cloned = clone({ flags: 0 });
  if (cloned.role === "child") {
    try {
      loop.abandon();
      closeFrom(0);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      writeExisting(COMPACT_FILE, "1");
    } finally {
      exit(0);
    }
  }
  const { pid, pidfd } = cloned;
  const ended = reaper.exitOf(pid).then(() => pidfd.close());
  return { ended, stop: () => void (pidfd.isOpen && pidfdSendSignal(pidfd, SIGKILL)) };
}
