import { hasCode, KataError } from "../../kata-error.ts";
import { exists, mkdirAll, readDirectory, removeTree, stat } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import type { AttachedDevice } from "../hypervisor/types.ts";
import { giveSwap } from "./guest-swap.ts";
import type { DiskRequest } from "./sandbox-disks.ts";

const DIRECTORY = `/tmp/kata-guest-swap.${getpid()}`;
const SETTINGS = { directory: `${DIRECTORY}/swap` };

/** Swap space of 4 MiB for a guest that finds the disk at `address`. @returns what happened. */
async function give(address: AttachedDevice, refuses = false) {
  const log: unknown[] = [];
  const given = giveSwap({
    name: "pod1",
    ...SETTINGS,
    bytes: 4 << 20,
    disks: {
      attach: async (request: DiskRequest) => {
        const path = "path" in request ? request.path : "";
        log.push(["attach", path, stat(path).size, stat(path).mode & 0o777]);
        return { id: "disk0", address, release: async () => void log.push("release") };
      },
    },
    calls: {
      addSwap: async (request) => {
        log.push(request);
        if (refuses) throw new KataError("rpc-failed", { operation: "add swap", object: "the guest" });
      },
      addSwapPath: async (request) => void log.push(request),
    },
  });
  return { log, given };
}

const ATTACHED = ["attach", `${SETTINGS.directory}/pod1.swap`, 4 << 20, 0o600];

test("the guest is told of the disk as it finds it, and neither file nor directory stays", async () => {
  mkdirAll(DIRECTORY, 0o700);
  try {
    const pci = await give({ pciPath: "02/0a" });
    await pci.given;
    assertEqual(pci.log, [ATTACHED, { PCIPath: [2, 10] }]);
    const node = await give({ node: "/dev/vdb", bytes: 0n });
    await node.given;
    assertEqual(node.log, [ATTACHED, { path: "/dev/vdb" }]);
    assertEqual(exists(SETTINGS.directory), false);
    mkdirAll(SETTINGS.directory, 0o700);
    await (await give({ pciPath: "02" })).given;
    assertEqual(readDirectory(SETTINGS.directory), [], "the operator's directory stays");
  } finally {
    removeTree(DIRECTORY);
  }
});

test("a disk that the guest cannot use is taken out again", async () => {
  mkdirAll(DIRECTORY, 0o700);
  try {
    for (const [address, refuses, code] of [
      [{ pciPath: "02" }, true, "rpc-failed"],
      [{ scsi: "0:1" }, false, "unsupported"],
    ] as const) {
      const { log, given } = await give(address, refuses);
      await assertThrows(
        () => given,
        (error) => hasCode(error, code),
        code,
      );
      assertEqual(log.at(-1), "release");
    }
    assertEqual(readDirectory(DIRECTORY), [], "nothing is left");
  } finally {
    removeTree(DIRECTORY);
  }
});

runTests();
