/** What a container gets of the VFIO devices in its specification. Needs root. */
import { hasCode } from "../../kata-error.ts";
import { mkdirAll, removeTree } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { ContainerMounts } from "../storage/container-mounts.ts";
import { MountRoom } from "../storage/mount-room.ts";
import { SharedDirectory } from "../storage/shared-directory.ts";
import { podStorage } from "../testing/pod-storage.ts";
import { TestLogger } from "../testing/test-pod.ts";

test("a container's VFIO devices are plugged in and out, refused where none are, and no privileged one has them all", async () => {
  const path = `/tmp/kata-pod-cards.${getpid()}`;
  mkdirAll(`${path}/share`);
  mkdirAll(`${path}/rootfs`);
  using room = MountRoom.open();
  const share = SharedDirectory.create(room, {
    run: path,
    state: `${path}/state.json`,
    fileServerSocket: `${path}/socket`,
    share: `${path}/share`,
    mounts: `${path}/share/mounts`,
    exported: `${path}/share/shared`,
    disks: `${path}/disks`,
  });
  const told: string[] = [];
  const message = {
    id: "12",
    type: "vfio-pci-gk",
    vmPath: "",
    containerPath: "/dev/vfio/12",
    options: [],
  } as const;
  const cards = {
    plugIn: async ({ path }: { readonly path: string }) => {
      told.push(`in ${path}`);
      return { message, release: async () => void told.push(`out ${path}`) };
    },
  };
  const logger = new TestLogger();
  const create = (hasCards: boolean, isPrivileged: boolean) =>
    ContainerMounts.create(
      { ...podStorage(share, logger), ...(hasCards ? { hostCards: async () => cards } : {}) },
      {
        id: "c1",
        bundle: path,
        rootfs: [],
        spec: {
          ociVersion: "1.1.0",
          root: { path: "rootfs" },
          linux: {
            devices: ["/dev/vfio/vfio", "/dev/vfio/12", "/dev/null"].map((path) => ({
              type: "c",
              path,
              major: 240,
              minor: 0,
            })),
            resources: { devices: [{ allow: isPrivileged, access: "rwm" }] },
          },
        },
      },
    );
  const mounts = await create(true, false);
  assertEqual([told, mounts.devices], [["in /dev/vfio/12"], [message]]);
  await mounts.release();
  assertEqual(told, ["in /dev/vfio/12", "out /dev/vfio/12"]);
  await assertThrows(
    () => create(false, false),
    (error) => hasCode(error, "unsupported") && error.hint?.includes("hot_plug_vfio") === true,
    "no port",
  );
  const privileged = await create(false, true);
  assertEqual(privileged.devices, []);
  assert(
    logger.of("warn").some((line) => line.includes("/dev/vfio/12")),
    "the log names what it does not get",
  );
  await privileged.release();
  removeTree(path);
});

runTests();
