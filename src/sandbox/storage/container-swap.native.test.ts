import { hasCode, KataError } from "../../kata-error.ts";
import { exists, mkdirAll, removeTree, stat } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { ContainerSwap } from "./container-swap.ts";
import type { DiskRequest } from "./sandbox-disks.ts";

const DIRECTORY = `/tmp/kata-container-swap.${getpid()}`;
const PAGE = 4096;
const MIB = 1 << 20;

/** The swap space of a pod. @returns sizes of the disks that it has been given, and how a guest comes to refuse them. */
function pod() {
  const disks: number[] = [];
  const names: string[] = [];
  const guest = { refuses: false };
  const swap = new ContainerSwap({
    sandboxId: "pod1",
    directory: `${DIRECTORY}/swap`,
    disks: {
      attach: async (request: DiskRequest) => {
        const path = "path" in request ? request.path : "";
        names.push(path.slice(path.lastIndexOf("/") + 1));
        disks.push(stat(path).size);
        return { id: "d", address: { pciPath: "02" }, release: async () => void disks.pop() };
      },
    },
    calls: {
      addSwap: async () => {
        if (guest.refuses) throw new KataError("rpc-failed", { operation: "add swap", object: "the guest" });
      },
      addSwapPath: async () => undefined,
    },
  });
  return { swap, disks, names, guest };
}

async function inDirectory(body: () => Promise<void>): Promise<void> {
  mkdirAll(DIRECTORY, 0o700);
  try {
    await body();
    assertEqual(exists(`${DIRECTORY}/swap`), false, "files that are left");
  } finally {
    removeTree(DIRECTORY);
  }
}

test("a pod has as much swap space as its containers want at the same time, and what one leaves is for the next", () =>
  inDirectory(async () => {
    const { swap, disks, names } = pod();
    const [giveUp] = await Promise.all([swap.give(3 * MIB), swap.give(5 * MIB)]);
    // Each has a page beside that says what it is.
    assertEqual(disks, [3 * MIB + PAGE, 5 * MIB + PAGE]);
    giveUp?.();
    await swap.give(2 * MIB);
    assertEqual(disks.length, 2, "disks");
    await swap.give(4 * MIB + 1);
    assertEqual(disks.at(-1), 3 * MIB + 2 * PAGE, "what is missing, in whole pages");
    assertEqual(names, ["pod1-0.swap", "pod1-1.swap", "pod1-2.swap"]);
  }));

test("little is as much as a swap area has at least", () =>
  inDirectory(async () => {
    const { swap, disks } = pod();
    await swap.give(1);
    assertEqual(disks, [11 * PAGE]);
  }));

test("what the guest refuses counts for nobody, and is asked for again", () =>
  inDirectory(async () => {
    const { swap, disks, guest } = pod();
    guest.refuses = true;
    await assertThrows(
      () => swap.give(MIB),
      (error) => hasCode(error, "rpc-failed"),
      "the guest's refusal",
    );
    assertEqual(disks, []);
    guest.refuses = false;
    await swap.give(MIB);
    assertEqual(disks, [MIB + PAGE]);
  }));

test("more than the host has room for is refused, with the annotation that asks for it", () =>
  inDirectory(async () => {
    const { swap, disks } = pod();
    await assertThrows(
      () => swap.give(2 ** 60),
      (error) => hasCode(error, "resource-exhausted") && error.hint?.includes("swap_in_bytes") === true,
      "no room",
    );
    assertEqual(disks, []);
  }));

runTests();
