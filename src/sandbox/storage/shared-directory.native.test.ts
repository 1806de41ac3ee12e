/** The shared directory and its mount namespace on the real kernel. Needs root. */
import { hasCode, hasErrno } from "../../kata-error.ts";
import { MS_BIND, MS_SHARED } from "../../oci/mount-options.ts";
import type { Spec } from "../../oci/types.ts";
import {
  AT_FDCWD,
  exists,
  mkdirAll,
  mkfifo,
  mknodat,
  readDirectory,
  readlink,
  readTextFile,
  removeTree,
  S_IFCHR,
  writeFile,
} from "../../sys/files.ts";
import { MNT_DETACH, mount, umount2 } from "../../sys/mount.ts";
import { readMountInfo } from "../../sys/mountinfo.ts";
import { AT_RECURSIVE, mountSetattr, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { chdir, getcwd, getpid } from "../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import type { SandboxPaths } from "../sandbox-paths.ts";
import { podStorage } from "../testing/pod-storage.ts";
import { TestLogger } from "../testing/test-pod.ts";
import { ContainerMounts } from "./container-mounts.ts";
import { MountRoom } from "./mount-room.ts";
import { parseSandboxBindMounts, shareSandboxBindMounts } from "./sandbox-bind-mounts.ts";
import { SharedDirectory } from "./shared-directory.ts";

let made = 0;

interface Place extends Disposable {
  /** A directory of the host, for sources. */
  readonly path: string;
  readonly paths: SandboxPaths;
  readonly room: MountRoom;
  readonly share: SharedDirectory;
}

function place(): Place {
  const path = `/tmp/kata-share-test.${getpid()}.${made++}`;
  const share = `${path}/share`;
  mkdirAll(share);
  const paths: SandboxPaths = {
    run: path,
    state: `${path}/state.json`,
    fileServerSocket: `${path}/socket`,
    share,
    mounts: `${share}/mounts`,
    exported: `${share}/shared`,
    disks: `${path}/disks`,
  };
  const room = MountRoom.open();
  return {
    path,
    paths,
    room,
    share: SharedDirectory.create(room, paths),
    [Symbol.dispose]() {
      room[Symbol.dispose]();
      removeTree(path);
    },
  };
}

/** Mounts below `path` that the caller sees. */
function mountsBelow(path: string): string[] {
  return readMountInfo()
    .map(({ mountPoint }) => mountPoint)
    .filter((point) => point.startsWith(path))
    .sort();
}

function spec(changes: Partial<Spec>): Spec {
  return { ociVersion: "1.1.0", ...changes };
}

/** The name of the mount of number `index` of container c1, whose destination is /v. */
const shared = (index: number) => `c1-${index.toString(16).padStart(16, "0")}-v`;

test("the room's mounts are seen in it and not on the host, and this process stays where it was", () => {
  const before = [readlink("/proc/self/ns/mnt"), getcwd()];
  chdir("/tmp");
  {
    using here = place();
    assertEqual(mountsBelow(here.path), []);
    const inside = here.room.run(() => [mountsBelow(here.path), getcwd()]);
    assertEqual(inside[0], [here.paths.share, here.paths.mounts, here.paths.exported]);
    assertEqual(getcwd(), "/tmp");
  }
  chdir(before[1] ?? "/");
  assertEqual([readlink("/proc/self/ns/mnt"), getcwd()], before);
});

test("run() comes back when its action throws", async () => {
  using here = place();
  const namespace = readlink("/proc/self/ns/mnt");
  await assertThrows(
    () =>
      here.room.run(() => {
        throw new RangeError("inside");
      }),
    (error) => error instanceof RangeError,
    "the action's error",
  );
  assertEqual(readlink("/proc/self/ns/mnt"), namespace);
});

test("what is placed is exported at once, and the directory around it cannot be written", async () => {
  using here = place();
  mkdirAll(`${here.path}/data`);
  writeFile(`${here.path}/data/f`, "data", 0o644);
  writeFile(`${here.path}/file`, "file", 0o644);
  {
    using directory = openTree(AT_FDCWD, `${here.path}/data`, OPEN_TREE_CLONE | AT_RECURSIVE);
    assertEqual(here.share.place(directory, "c1/data"), "/run/kata-containers/shared/containers/c1/data");
    using file = openTree(AT_FDCWD, `${here.path}/file`, OPEN_TREE_CLONE);
    here.share.place(file, "c1-file");
  }
  const { exported } = here.paths;
  here.room.run(() => {
    assertEqual(
      [readTextFile(`${exported}/c1/data/f`), readTextFile(`${exported}/c1-file`)],
      ["data", "file"],
    );
    writeFile(`${exported}/c1/data/made`, "x");
  });
  assertEqual(exists(`${here.path}/data/made`), true);
  for (const path of [`${exported}/new`, `${exported}/c1/new`]) {
    await assertThrows(
      () => here.room.run(() => writeFile(path, "x")),
      (error) => hasErrno(error, "EROFS"),
      "EROFS",
    );
  }
  here.share.removeAll();
  here.share.remove("c1-file");
  here.room.run(() => {
    assertEqual(mountsBelow(`${here.paths.mounts}/`), []);
    assertEqual(readDirectory(exported), []);
  });
  assertEqual(readTextFile(`${here.path}/data/f`), "data", "the source is as it was");
});

test("names that lead elsewhere are refused", async () => {
  using here = place();
  using tree = openTree(AT_FDCWD, here.path, OPEN_TREE_CLONE);
  for (const name of ["", "..", "../x", "a/..", "a/b/c", "/a", "a/"]) {
    await assertThrows(
      () => here.share.place(tree, name),
      (error) => hasCode(error, "invalid-argument"),
      `invalid-argument for ${JSON.stringify(name)}`,
    );
  }
});

test("a container's root and volumes are inert on the host: no device, no set-uid, read-only where it is said", async () => {
  using here = place();
  for (const name of ["rootfs", "volume", "volume/deep"]) mkdirAll(`${here.path}/${name}`);
  mknodat(AT_FDCWD, `${here.path}/rootfs/device`, S_IFCHR | 0o666, 1, 3);
  writeFile(`${here.path}/volume/f`, "volume", 0o644);
  const logger = new TestLogger();
  const request = {
    id: "c1",
    bundle: here.path,
    rootfs: [],
    spec: spec({
      root: { path: "rootfs" },
      mounts: [
        { destination: "/v", type: "bind", source: `${here.path}/volume`, options: ["rbind", "ro"] },
        { destination: "/proc", type: "proc", source: "proc" },
      ],
    }),
  };
  const mounts = await ContainerMounts.create(podStorage(here.share, logger), request);
  assertEqual(mounts.spec.root?.path, "/run/kata-containers/shared/containers/c1/rootfs");
  assertEqual(
    mounts.spec.mounts?.map(({ source }) => source),
    [`/run/kata-containers/shared/containers/${shared(0)}`, "proc"],
  );
  const { exported } = here.paths;
  const errno = async (action: () => void, ...errnos: string[]) =>
    assertThrows(
      () => here.room.run(action),
      (error) => hasErrno(error, ...errnos),
      errnos.join(" or "),
    );
  await errno(() => readTextFile(`${exported}/c1/rootfs/device`), "EACCES");
  await errno(() => writeFile(`${exported}/${shared(0)}/f`, "x"), "EROFS");
  here.room.run(() => {
    const flags = readMountInfo()
      .filter(({ mountPoint }) => mountPoint === `${exported}/c1/rootfs`)
      .flatMap(({ options, propagation }) => [...options, ...propagation]);
    assert(flags.includes("nosuid") && flags.includes("nodev"), `the root's flags are ${flags}`);
  });
  await mounts.release();
  await mounts.release();
  here.room.run(() => assertEqual(mountsBelow(`${here.paths.mounts}/`), []));
});

test("later mounts of the host reach a volume that asks for them, and no other", async () => {
  using here = place();
  for (const name of ["rootfs", "volume/point", "later"]) mkdirAll(`${here.path}/${name}`);
  writeFile(`${here.path}/later/f`, "later");
  const volume = `${here.path}/volume`;
  mount(volume, volume, null, MS_BIND, null);
  try {
    mountSetattr(AT_FDCWD, volume, 0, { propagation: MS_SHARED });
    const bind = (...options: string[]) => ({ destination: "/v", type: "bind", source: volume, options });
    const volumes = [bind("rbind", "rslave"), bind("rbind", "rshared"), bind("rbind", "rprivate")];
    const mounts = await ContainerMounts.create(podStorage(here.share, new TestLogger()), {
      id: "c1",
      bundle: here.path,
      rootfs: [],
      spec: spec({ root: { path: "rootfs" }, mounts: volumes }),
    });
    const seen = () =>
      here.room.run(() =>
        volumes.map((_, index) => exists(`${here.paths.exported}/${shared(index)}/point/f`)),
      );
    mount(`${here.path}/later`, `${volume}/point`, null, MS_BIND, null);
    assertEqual(seen(), [true, true, false]);
    umount2(`${volume}/point`, MNT_DETACH);
    assertEqual(seen(), [false, false, false]);
    await mounts.release();
    assertEqual(mountsBelow(volume), [volume]);
  } finally {
    umount2(volume, MNT_DETACH);
  }
});

test("a volume is read-only and what is mounted below it is not, when only the volume is said to be", async () => {
  using here = place();
  for (const name of ["rootfs", "volume/below"]) mkdirAll(`${here.path}/${name}`);
  const below = `${here.path}/volume/below`;
  mount("tmpfs", below, "tmpfs", 0, null);
  try {
    const volume = (...options: string[]) => ({
      destination: "/v",
      type: "bind",
      source: `${here.path}/volume`,
      options: ["rbind", ...options],
    });
    const mounts = await ContainerMounts.create(podStorage(here.share, new TestLogger()), {
      id: "c1",
      bundle: here.path,
      rootfs: [],
      spec: spec({ root: { path: "rootfs" }, mounts: [volume("ro"), volume("rro")] }),
    });
    // In the guest each of them is one mount.
    assertEqual(
      mounts.spec.mounts?.map(({ options }) => options),
      [
        ["rbind", "ro", "rw"],
        ["rbind", "rro"],
      ],
    );
    const write = (path: string) => here.room.run(() => writeFile(`${here.paths.exported}/${path}`, "x"));
    write(`${shared(0)}/below/f`);
    for (const path of [`${shared(0)}/f`, `${shared(1)}/f`, `${shared(1)}/below/f`]) {
      await assertThrows(
        () => write(path),
        (error) => hasErrno(error, "EROFS"),
        `EROFS for ${path}`,
      );
    }
    await mounts.release();
  } finally {
    umount2(below, MNT_DETACH);
  }
});

test("a bind mount of the sandbox is seen by the guest, read-only unless it is said", async () => {
  using here = place();
  for (const name of ["certificates", "cache"]) {
    mkdirAll(`${here.path}/${name}`);
    writeFile(`${here.path}/${name}/file`, name, 0o644);
  }
  const mounts = parseSandboxBindMounts([`${here.path}/certificates`, `${here.path}/cache:rw`]);
  shareSandboxBindMounts(here.share, mounts);
  const shown = `${here.paths.exported}/sandbox-mounts`;
  here.room.run(() => {
    assertEqual(readTextFile(`${shown}/certificates/file`), "certificates");
    writeFile(`${shown}/cache/file`, "changed", 0o644);
  });
  assertEqual(readTextFile(`${here.path}/cache/file`), "changed");
  await assertThrows(
    () => here.room.run(() => writeFile(`${shown}/certificates/file`, "x")),
    (error) => hasErrno(error, "EROFS"),
    "EROFS",
  );
  await assertThrows(
    () => shareSandboxBindMounts(here.share, parseSandboxBindMounts([`${here.path}/missing`])),
    (error) => hasCode(error, "invalid-configuration"),
    "invalid-configuration",
  );
});

test("a container that lacks one source leaves nothing of the others", async () => {
  using here = place();
  mkdirAll(`${here.path}/rootfs`);
  mkfifo(`${here.path}/fifo`, 0o600);
  const bind = (source: string) => ({ destination: "/x", type: "bind", source, options: ["bind"] });
  const create = (sources: readonly string[], root: string) =>
    ContainerMounts.create(podStorage(here.share, new TestLogger()), {
      id: "c1",
      bundle: here.path,
      rootfs: [],
      spec: spec({ root: { path: root }, mounts: sources.map(bind) }),
    });
  const refused = async (sources: readonly string[], root: string) => {
    await assertThrows(
      () => create(sources, root),
      (error) => hasCode(error, "not-found"),
      "not-found",
    );
    here.room.run(() => assertEqual(mountsBelow(`${here.paths.mounts}/`), []));
  };
  await refused([`${here.path}/fifo`, "/nonexistent"], "rootfs");
  await refused([], "/nonexistent/rootfs");
  await (await create([`${here.path}/fifo`], "rootfs")).release();
});

test("an overlay of more layers than a page of options has room for is mounted", async () => {
  using here = place();
  const LAYERS = 60;
  const layers = Array.from(
    { length: LAYERS },
    (_, index) => `${here.path}/a-rather-long-name-as-snapshotters-like-to-have-them/snapshots/${index}/fs`,
  );
  for (const [index, layer] of layers.entries()) {
    mkdirAll(layer);
    writeFile(`${layer}/layer-${index}`, "");
  }
  for (const name of ["upper", "work"]) mkdirAll(`${here.path}/${name}`);
  const directory = getcwd();
  const options = [
    `lowerdir=${layers.join(":")}`,
    `upperdir=${here.path}/upper`,
    `workdir=${here.path}/work`,
  ];
  assert(options.join(",").length > 4096, "the options do not fit into a page");
  const request = {
    id: "c1",
    bundle: here.path,
    spec: spec({}),
    rootfs: [{ type: "overlay", source: "overlay", target: "", options }],
  };
  const mounts = await ContainerMounts.create(podStorage(here.share, new TestLogger()), request);
  assertEqual(mounts.spec.root?.path.endsWith("/c1/rootfs"), true);
  here.room.run(() => assertEqual(readDirectory(`${here.paths.exported}/c1/rootfs`).length, LAYERS));
  assertEqual(getcwd(), directory);
  await mounts.release();
});

runTests();
