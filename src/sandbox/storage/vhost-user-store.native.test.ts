import { hasCode } from "../../kata-error.ts";
import { AT_FDCWD, mkdirAll, mknodat, removeTree, S_IFBLK, writeFile } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { listen } from "../../sys/socket.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { TestLogger } from "../testing/test-pod.ts";
import { blockDevicesOf, boundBlockDevice } from "./block-devices.ts";
import { servedDisk } from "./vhost-user-store.ts";

const NODE_MODE = S_IFBLK | 0o600;

test("a node of the store means the socket of its name; all others are the host's", async () => {
  const directory = `/tmp/kata-vhost-user-store.${getpid()}`;
  const store = { directory };
  try {
    assertEqual(servedDisk(store, 241, 1), undefined, "no directory");
    for (const name of ["devices", "sockets"]) mkdirAll(`${directory}/block/${name}`);
    const node = (name: string, major: number, minor: number) =>
      mknodat(AT_FDCWD, `${directory}/block/devices/${name}`, NODE_MODE, major, minor);
    node("one", 241, 1);
    node("two", 241, 2);
    node("controller", 242, 1);
    writeFile(`${directory}/block/devices/no-node`, "");
    const socket = `${directory}/block/sockets/one`;
    using _listener = listen({ kind: "unix", path: socket });

    assertEqual(servedDisk(store, 241, 1), socket);
    assertEqual(servedDisk(undefined, 241, 1), undefined, "no store is configured");
    assertEqual(servedDisk(store, 241, 3), undefined, "a device of the host with this major");
    assertEqual(servedDisk(store, 8, 1), undefined, "another major");
    await assertThrows(
      () => servedDisk(store, 241, 2),
      (error) => hasCode(error, "not-found"),
      "nobody listens",
    );
    await assertThrows(
      () => servedDisk(store, 242, 1),
      (error) => hasCode(error, "unsupported"),
      "a controller",
    );

    const device = { type: "b", path: "/dev/data", major: 241, minor: 1 } as const;
    const [given] = blockDevicesOf(
      { ociVersion: "1.1.0", linux: { devices: [device] } },
      new TestLogger(),
      store,
    );
    assertEqual([given?.path, given?.isServed, given?.device.path], [socket, true, "/dev/data"]);
    const bound = boundBlockDevice(`${directory}/block/devices/one`, "/dev/mine", false, store);
    assertEqual([bound.path, bound.isServed, bound.device.path], [socket, true, "/dev/mine"]);
  } finally {
    removeTree(directory);
  }
});

runTests();
