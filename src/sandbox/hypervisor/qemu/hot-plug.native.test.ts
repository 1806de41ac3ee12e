/** Devices that come and go in a running machine, with a guest that takes part. Needs our guest (`npm run image`). */

import { VIRTIOFSD_PATHS } from "../../../config/index.ts";
import { hasCode } from "../../../kata-error.ts";
import { CancelSource } from "../../../sys/cancellation.ts";
import { loop } from "../../../sys/event-loop.ts";
import {
  exists,
  ftruncate,
  mkdirAll,
  O_CREAT,
  O_RDWR,
  open,
  readDirectory,
  removeTree,
} from "../../../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../../sys/mount.ts";
import { unshare } from "../../../sys/namespaces.ts";
import { CLONE_NEWNET, CLONE_NEWNS, getpid } from "../../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests } from "../../../sys/testing/native-test.ts";
import { connectAgent } from "../../agent-connection.ts";
import { NetworkNamespace } from "../../network/network-namespace.ts";
import { makeTap } from "../../network/tap.ts";
import { makeRunDirectories, removeRunDirectories } from "../../run-directories.ts";
import { sandboxPaths } from "../../sandbox-paths.ts";
import { MountRoom } from "../../storage/mount-room.ts";
import { SharedDirectory } from "../../storage/shared-directory.ts";
import { startVirtiofsd } from "../../storage/virtiofsd.ts";
import { testMachineSpec } from "../../testing/test-machine.ts";
import { TestLogger, testConfiguration, testId, vmTest } from "../../testing/test-pod.ts";
import { qemu } from "./driver.ts";

unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const DIAL_TIMEOUT_MS = 60_000;

vmTest(
  "disk, network card and shared directory are plugged in and out, and a slot is used again",
  async () => {
    const directory = `/tmp/kata-hot-plug-test.${getpid()}`;
    mkdirAll(directory);
    const logger = new TestLogger();
    const id = testId();
    const machine = await qemu.boot(
      testMachineSpec({
        id,
        program: testConfiguration().hypervisor.path,
        accelerator: "tcg",
        machineType: "q35",
        hotPlugSlots: 1,
        entropySource: "",
        runDirectory: "/run",
      }),
      { clock: loop, logger },
    );
    const paths = sandboxPaths(id);
    try {
      const agent = await connectAgent(machine.agentChannel, DIAL_TIMEOUT_MS, new CancelSource().signal);
      {
        using disk = open(`${directory}/disk`, O_RDWR | O_CREAT, 0o600);
        ftruncate(disk.fd, 1 << 20);
      }
      const before = readDirectory("/proc/self/fd").length;
      const diskAddress = await machine.attach({
        kind: "disk",
        id: "disk0",
        path: `${directory}/disk`,
        readOnly: false,
      });
      await assertThrows(
        () => machine.attach({ kind: "disk", id: "disk0", path: `${directory}/disk`, readOnly: true }),
        (error) => hasCode(error, "already-exists"),
        "already-exists",
      );
      await machine.detach("disk0");

      const namespace = NetworkNamespace.open("/proc/self/ns/net");
      const [tap] = makeTap(namespace, "tap0_kata", 1);
      namespace.close();
      const card = await machine.attach({
        kind: "network",
        id: "network0",
        macAddress: "02:00:00:00:00:07",
        backend: { kind: "tap", queues: [{ tap: tap?.fd ?? -1 }] },
      });
      tap?.close();
      assertEqual(card, diskAddress, "the slot is used again");
      await machine.detach("network0");

      makeRunDirectories(paths);
      using room = MountRoom.open();
      const server = await startVirtiofsd({
        program: VIRTIOFSD_PATHS.find((path) => exists(path)) ?? "",
        share: SharedDirectory.create(room, paths),
        socket: "connected",
        cache: "never",
        extraArguments: [],
        debug: false,
        cgroups: [],
        clock: loop,
        logger,
      });
      await machine.attach({
        kind: "shared-directory",
        id: "share0",
        tag: "late",
        socket: server.socket,
        queueSize: 64,
      });
      server.release();
      await machine.detach("share0");
      // It has lost its only client.
      const end = await server.program.exited;
      assert(/exited with status 0/.test(end), `virtiofsd ends by itself, not ${end}`);
      await assertThrows(
        () => machine.detach("share0"),
        (error) => hasCode(error, "not-found"),
        "not-found",
      );
      room[Symbol.dispose]();
      assertEqual(readDirectory("/proc/self/fd").length, before, "open descriptors");
      agent.close();
    } finally {
      await machine.stop();
      removeRunDirectories(paths);
      removeTree(directory);
    }
  },
);

runTests();
