/** The disks of a pod and what is made of them, with a machine that only notes what is plugged in. */
import { hasCode } from "../../kata-error.ts";
import { exists, mkdirAll, readDirectory, removeTree, stat } from "../../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount, umount2 } from "../../sys/mount.ts";
import { unshare } from "../../sys/namespaces.ts";
import { CLONE_NEWNS, getpid } from "../../sys/process.ts";
import { Rollback } from "../../sys/rollback.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { makeSparseFile } from "../testing/host-tools.ts";
import { FakeDiskMachine, TUNING } from "../testing/pod-storage.ts";
import { TestLogger } from "../testing/test-pod.ts";
import { addDirectVolume, sandboxOfVolume } from "./direct-volume.ts";
import { hasFilesystem } from "./filesystem-image.ts";
import { ChangesDisk } from "./layer-changes.ts";
import { PodVolumes } from "./pod-volumes.ts";
import { SandboxDisks } from "./sandbox-disks.ts";
import { provideVolume, type VolumeContext } from "./volumes.ts";

unshare(CLONE_NEWNS);
mount(null, "/", null, MS_REC | MS_PRIVATE);

let made = 0;

function place(refuses = "") {
  const path = `/tmp/kata-disks-test.${getpid()}.${made++}`;
  mkdirAll(path);
  const machine = new FakeDiskMachine(refuses === "" ? "" : `${path}/${refuses}`);
  const disks = new SandboxDisks(machine, TUNING, new TestLogger());
  const volumes = new PodVolumes("pod1", `${path}/direct-volumes`);
  const context: VolumeContext = { disks, volumes, emptyDirs: "block-plain" };
  return { path, machine, disks, volumes, context, [Symbol.dispose]: () => removeTree(path) };
}

test("a disk is plugged in once, however many use it at the same time, and taken out after the last", async () => {
  using here = place();
  const { disks, machine, path } = here;
  makeSparseFile(`${path}/disk`, 1);
  const request = { path: `${path}/disk`, readOnly: false };
  const [first, second] = await Promise.all([disks.attach(request), disks.attach(request)]);
  assertEqual([first.id, second.address], [second.id, first.address]);
  await first.release();
  assertEqual(machine.log, ["attach disk0"]);
  // Somebody who comes while it is taken out waits, and has it plugged in again.
  const leaving = second.release();
  const third = await disks.attach(request);
  await leaving;
  assertEqual(machine.log, ["attach disk0", "detach disk0", "attach disk1"]);
  // Read-only it is another disk.
  const fourth = await disks.attach({ ...request, readOnly: true });
  assert(fourth.id !== third.id, "a disk of its own");
});

test("a disk that cannot be plugged in fails for all who wait, and may be tried again", async () => {
  using here = place("bad");
  const { disks, machine, path } = here;
  makeSparseFile(`${path}/bad`, 1);
  const request = { path: `${path}/bad`, readOnly: false };
  const tries = [disks.attach(request), disks.attach(request)];
  for (const attempt of tries) {
    await assertThrows(
      () => attempt,
      (error) => hasCode(error, "hypervisor-error"),
      "hypervisor-error",
    );
  }
  await assertThrows(
    () => disks.attach(request),
    (error) => hasCode(error, "hypervisor-error"),
    "hypervisor-error",
  );
  assertEqual(machine.log.length, 2, "tries");
});

const bind = (source: string) => ({ type: "bind", source, destination: "/data", options: ["rbind", "rw"] });

test("a direct volume is a disk of the guest's, noted for tools while containers use it", async () => {
  using here = place();
  const { path, context, volumes, machine } = here;
  makeSparseFile(`${path}/disk`, 1);
  const info = { "volume-type": "block", device: `${path}/disk`, fstype: "ext4", metadata: { fsGroup: "7" } };
  addDirectVolume(`${path}/volume`, JSON.stringify(info), volumes.root);
  const undo = [new Rollback(), new Rollback()];
  for (const [index, each] of undo.entries()) {
    const provided = await provideVolume(context, bind(`${path}/volume`), `c${index}`, each);
    const mountPoint = "/run/kata-containers/sandbox/storage/MWUvMDA=";
    assertEqual(provided, {
      storages: [
        {
          driver: "blk",
          driverOptions: [],
          source: "1e/00",
          fstype: "ext4",
          options: [],
          mountPoint,
          fsGroup: { groupId: 7, groupChangePolicy: 0 },
        },
      ],
      mount: { ...bind(`${path}/volume`), source: mountPoint },
    });
  }
  assertEqual(sandboxOfVolume(`${path}/volume`, volumes.root), "pod1");
  assertEqual(volumes.find(`${path}/disk`).diskId, "disk0");
  await undo[0]?.run();
  assertEqual(sandboxOfVolume(`${path}/volume`, volumes.root), "pod1");
  await undo[1]?.run();
  await assertThrows(
    () => sandboxOfVolume(`${path}/volume`, volumes.root),
    (error) => hasCode(error, "not-found"),
    "not-found",
  );
  assertEqual([...machine.disks.keys()], []);
});

test("empty volumes are memory with their limit, the guest's own, or a disk that is full of holes", async () => {
  using here = place();
  const { path, context, machine } = here;
  const volume = (name: string) => {
    const directory = `${path}/pods/uid/volumes/kubernetes.io~empty-dir/${name}`;
    mkdirAll(directory, 0o777);
    return directory;
  };
  const memory = volume("memory");
  mount("tmpfs", memory, "tmpfs", 0, "size=1m,mode=1777,gid=9");
  try {
    const undo = new Rollback();
    const provided = await provideVolume(context, bind(memory), "c1", undo);
    assertEqual(provided?.storages, [
      {
        driver: "ephemeral",
        source: "tmpfs",
        fstype: "tmpfs",
        options: ["mode=1777", "size=1024k", "fsgid=9"],
        mountPoint: "/run/kata-containers/sandbox/ephemeral/memory",
      },
    ]);
    const guest = await provideVolume({ ...context, emptyDirs: "guest" }, bind(volume("disk")), "c1", undo);
    assertEqual(guest?.storages[0]?.driver, "local");
    const shared = await provideVolume(
      { ...context, emptyDirs: "shared-fs" },
      bind(volume("disk")),
      "c1",
      undo,
    );
    assertEqual(shared, undefined);
    const plain = await provideVolume(context, bind(volume("disk")), "c1", undo);
    assertEqual(plain?.storages, [
      {
        driver: "blk",
        driverOptions: ["create_filesystem"],
        source: "1e/00",
        fstype: "ext4",
        options: [],
        mountPoint: "/run/kata-containers/sandbox/storage/MWUvMDA=",
        shared: true,
      },
    ]);
    assertEqual(machine.disks.get("disk0")?.path, `${volume("disk")}/disk.img`);
    const encrypted = await provideVolume(
      { ...context, emptyDirs: "block-encrypted" },
      bind(volume("secret")),
      "c1",
      undo,
    );
    assertEqual(encrypted?.storages[0]?.driverOptions, ["encryption_key=ephemeral", "create_filesystem"]);
    assertEqual(encrypted?.storages[0]?.options, []);
    assertEqual(encrypted?.storages[0]?.shared, true);
    // A directory that is no volume is left to be shared.
    assertEqual(await provideVolume(context, bind(path), "c1", undo), undefined);
    await undo.run();
    // They are kept for containers that come later: nobody but the guest may have the key.
    const left = [...machine.disks.values()].map((disk) => disk.path);
    assertEqual(left, [`${volume("disk")}/disk.img`, `${volume("secret")}/disk.img`]);
    assert(exists(`${volume("disk")}/disk.img`), "the file is the volume's");
  } finally {
    umount2(memory, 0);
  }
  assertEqual(readDirectory(`${path}/pods/uid/volumes`).length, 1);
});

for (const [mode, driverOptions] of [
  ["block-plain", ["create_filesystem"]],
  ["block-encrypted", ["encryption_key=ephemeral", "create_filesystem"]],
] as const) {
  test(`changes of layers have one disk for the pod, ${mode}, whose file has no name`, async () => {
    using here = place();
    const { path, disks, machine } = here;
    let bytes = 0;
    const attach = machine.attach.bind(machine);
    machine.attach = async (device) => {
      assert(device.kind === "disk", device.kind);
      bytes = stat(device.path).size;
      assertEqual(hasFilesystem(device.path), mode === "block-plain");
      return await attach(device);
    };
    const changes = new ChangesDisk(disks, { mode, bytes: 64 << 20 }, `${path}/made`);
    const [first, second] = await Promise.all([changes.storage(), changes.storage()]);
    assertEqual(first, {
      driver: "blk",
      driverOptions,
      source: "1e/00",
      fstype: "ext4",
      options: [],
      mountPoint: "/run/kata-containers/sandbox/changes",
      shared: true,
    });
    assertEqual(second, first);
    assertEqual(machine.log, ["attach disk0"]);
    assertEqual(bytes, 64 << 20);
    assertEqual(readDirectory(`${path}/made`), []);
  });
}

test("a disk for changes that cannot be plugged in leaves nothing, and is tried again", async () => {
  using here = place("made/changes.img");
  const { path, disks, machine } = here;
  const changes = new ChangesDisk(disks, { mode: "block-plain", bytes: 64 << 20 }, `${path}/made`);
  for (let tries = 0; tries < 2; tries++) {
    await assertThrows(
      () => changes.storage(),
      (error) => hasCode(error, "hypervisor-error"),
      "hypervisor-error",
    );
  }
  assertEqual(readDirectory(`${path}/made`), []);
  assertEqual(machine.log.length, 2);
});

runTests();
