/**
 * Disks of the host in a real machine: root filesystems and block devices. Needs our guest (`npm run image`).
 *
 * The tests share one machine; the first opens it, the last stops it.
 */

import { encodeBase64 } from "../crypto/base64.ts";
import { sha256 } from "../crypto/sha256.ts";
import { describeError, hasErrno } from "../kata-error.ts";
import type { Spec } from "../oci/types.ts";
import {
  mkdirAll,
  O_APPEND,
  O_WRONLY,
  open,
  readFile,
  readTextFile,
  stat,
  writeAll,
  writeFile,
} from "../sys/files.ts";
import { kernel } from "../sys/kernel.ts";
import { assert, assertEqual, assertThrows, runTests } from "../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";
import { openSandbox } from "./open-sandbox.ts";
import { loopDevice, makeExt4, makeSparseFile, runTool } from "./testing/host-tools.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  type TestPlace,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  vmTest,
} from "./testing/test-pod.ts";
import type { RootfsMount, Sandbox } from "./types.ts";

const sandboxId = testId();
const logger = new TestLogger();
let opened: { readonly sandbox: Sandbox; readonly place: TestPlace } | undefined;

async function pod(): Promise<{ readonly sandbox: Sandbox; readonly place: TestPlace }> {
  if (opened !== undefined) return opened;
  const place = testPlace();
  const spec = testSpec(place.rootfs, ["true"]);
  const configuration = testConfiguration();
  const sandbox = await openSandbox({ id: sandboxId, configuration, spec, bundle: place.path, logger });
  opened = { sandbox, place };
  return opened;
}

/** Runs a shell script in a container to its end. @returns output, errors and status. */
async function run(
  script: string,
  change: (spec: Spec) => Spec = (spec) => spec,
  rootfs: readonly RootfsMount[] = [],
): Promise<readonly [string, string, number]> {
  const { sandbox, place } = await pod();
  const id = testId();
  const spec = change(testSpec(place.rootfs, ["sh", "-c", script]));
  await sandbox.createContainer({ id, bundle: place.path, spec, rootfs });
  try {
    const output = readAll(sandbox, id);
    const errors = readAll(sandbox, id, "", "stderr");
    await sandbox.startContainer(id);
    const { status } = await sandbox.wait({ containerId: id, execId: "" });
    return [utf8Decode(await output), utf8Decode(await errors), status];
  } finally {
    await sandbox.removeContainer(id);
  }
}

vmTest(
  "a root filesystem in a file is a disk of the guest, and keeps what the container writes",
  async () => {
    const { place } = await pod();
    const image = `${place.path}/root.img`;
    await makeExt4(image, 16, place.rootfs);
    const rootfs = [{ type: "ext4", source: image, target: "", options: ["loop", "rw"] }];
    const script = "head -1 /proc/self/mountinfo; echo kept > /written; mkdir -p /a/b; ls /lost+found";
    const [output, errors, status] = await run(script, undefined, rootfs);
    assertEqual([errors, status], ["", 0]);
    assert(/ - ext4 \/dev\/vd[a-z] rw/.test(output), `the root is an ext4 of the guest's in ${output}`);
    assertEqual(await runTool("/usr/sbin/debugfs", "-R", "cat /written", image).then(lastLine), "kept");
    // Another container finds it, and a read-only one cannot change it.
    const again = [{ type: "ext4", source: image, target: "", options: ["ro"] }];
    const [second, , secondStatus] = await run(
      "cat /written; touch /new 2>&1 || echo refused",
      undefined,
      again,
    );
    assertEqual([lines(second).at(0), lines(second).at(-1), secondStatus], ["kept", "refused", 0]);
    const [kept] = await run("cat /written", undefined, rootfs);
    assertEqual(kept, "kept\n");
  },
);

vmTest(
  "a block device of the host has the guest's numbers, its mode and its content in a container",
  async () => {
    const { place } = await pod();
    makeSparseFile(`${place.path}/volume`, 4);
    await using loop = await loopDevice(`${place.path}/volume`);
    const { deviceMajor: major, deviceMinor: minor } = stat(loop.path);
    const given =
      (access: string) =>
      (spec: Spec): Spec => ({
        ...spec,
        linux: {
          ...spec.linux,
          devices: [{ type: "b", path: "/dev/data", major, minor, fileMode: 0o640, uid: 0, gid: 6 }],
          resources: {
            devices: [
              { allow: false, access: "rwm" },
              { allow: true, type: "b", major, minor, access },
            ],
          },
        },
      });
    const script = [
      "ls -ln /dev/data",
      "dd if=/dev/data of=/dev/null bs=1M",
      "printf written | dd of=/dev/data bs=512 conv=sync 2>/dev/null",
      "head -c 7 /dev/data",
    ].join(" && ");
    const [output, errors, status] = await run(script, given("rwm"));
    assert(
      /^brw-r----- +1 0 +6 +(25[0-9]), +\d+ .* \/dev\/data\nwritten$/.test(output),
      `a node in ${output}`,
    );
    assert(errors.includes("4+0 records in"), `the whole disk in ${errors}`);
    assertEqual(status, 0);
    assertEqual(readTextFile(`${place.path}/volume`).slice(0, 7), "written");
    // Read-only by its rule: for the guest's kernel, too.
    const [readOnly] = await run(
      "head -c 7 /dev/data; echo x 2>/dev/null > /dev/data || echo refused",
      given("rm"),
    );
    assertEqual(readOnly, "writtenrefused\n");
  },
);

vmTest("a bind mount of a block device is that device, plugged in once for two containers", async () => {
  const { place, sandbox } = await pod();
  makeSparseFile(`${place.path}/bound`, 2);
  await using loop = await loopDevice(`${place.path}/bound`);
  const mounted = (spec: Spec): Spec => ({
    ...spec,
    mounts: [
      ...(spec.mounts ?? []),
      { destination: "/dev/bound", type: "bind", source: loop.path, options: ["bind", "rw"] },
    ],
  });
  const before = logger.lines.length;
  const id = testId();
  const spec = mounted(testSpec(place.rootfs, ["sleep", "100"]));
  await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
  const [output, errors] = await run("test -b /dev/bound && dd if=/dev/bound of=/dev/null bs=1M", mounted);
  assertEqual([output, errors.includes("2+0 records in")], ["", true]);
  const told = logger.lines.slice(before).filter((line) => line.includes(loop.path));
  assertEqual(told.length, 1, "times plugged in");
  await sandbox.removeContainer(id);
});

vmTest("a disk that the host has mounted is refused, and nothing is left of the container", async () => {
  const { place } = await pod();
  await makeExt4(`${place.path}/mounted`, 4);
  await using loop = await loopDevice(`${place.path}/mounted`);
  mkdirAll(`${place.path}/here`);
  await runTool("/usr/bin/mount", loop.path, `${place.path}/here`);
  try {
    const bound = (spec: Spec): Spec => ({
      ...spec,
      mounts: [{ destination: "/dev/x", type: "bind", source: loop.path, options: ["bind"] }],
    });
    await assertThrows(
      () => run("true", bound),
      (error) => hasErrno(error, "EBUSY"),
      "EBUSY",
    );
  } finally {
    await runTool("/usr/bin/umount", `${place.path}/here`);
  }
});

vmTest("a privileged container is not given the host's own disks", async () => {
  const { place } = await pod();
  makeSparseFile(`${place.path}/idle`, 1);
  await using loop = await loopDevice(`${place.path}/idle`);
  const { deviceMajor: major, deviceMinor: minor } = stat(loop.path);
  const privileged = (spec: Spec): Spec => ({
    ...spec,
    linux: {
      ...spec.linux,
      devices: [
        { type: "b", path: loop.path, major, minor },
        { type: "b", path: "/dev/chosen", major, minor },
      ],
      resources: { devices: [{ allow: true, access: "rwm" }] },
    },
  });
  const [output] = await run(
    `test -b ${loop.path} || echo none; test -b /dev/chosen && echo chosen`,
    privileged,
  );
  assertEqual(output, "none\nchosen\n");
  assertEqual(logger.of("warn").filter((line) => line.includes(loop.path)).length, 1, "warnings");
});

vmTest("files and directories below the host's /dev are shared, its devices are the guest's", async () => {
  const { place } = await pod();
  const directory = `/dev/shm/kata-test-${sandboxId}`;
  mkdirAll(directory);
  writeFile(`${directory}/file`, "of the host\n", 0o644);
  try {
    const mounted = (spec: Spec): Spec => ({
      ...spec,
      mounts: [
        ...(spec.mounts ?? []),
        { destination: "/shared", type: "bind", source: directory, options: ["rbind", "ro"] },
        { destination: "/null", type: "bind", source: "/dev/null", options: ["bind"] },
      ],
    });
    const [output, , status] = await run(
      "cat /shared/file; echo gone > /null; test -c /null && echo null",
      mounted,
    );
    assertEqual([output, status], ["of the host\nnull\n", 0]);
    assert(place.path !== "", "a place");
  } finally {
    await runTool("/bin/rm", "-rf", directory);
  }
});

vmTest("a device of the guest's comes with its kernel module", async () => {
  const withTun = (spec: Spec): Spec => ({
    ...spec,
    linux: {
      ...spec.linux,
      devices: [{ type: "c", path: "/dev/net/tun", major: 10, minor: 200, fileMode: 0o666 }],
    },
  });
  const [output, errors] = await run(
    "exec 3<>/dev/net/tun && echo opened; exec 3>&-; : > /dev/null && echo null",
    withTun,
  );
  assertEqual([output, errors], ["opened\nnull\n", ""]);
});

/** A tree of hashes behind the data, as veritysetup(8) without a superblock makes it. @returns its description. */
function appendVerityTree(image: string): Readonly<Record<string, unknown>> {
  const BLOCK = 4096;
  const data = readFile(image, 16 << 20);
  let hashes: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += BLOCK) hashes.push(sha256(data.subarray(at, at + BLOCK)));
  const levels: Uint8Array[] = [];
  while (hashes.length > 1) {
    const level = new Uint8Array(Math.ceil((hashes.length * 32) / BLOCK) * BLOCK);
    for (const [index, hash] of hashes.entries()) level.set(hash, index * 32);
    levels.unshift(level);
    hashes = Array.from({ length: level.length / BLOCK }, (_, index) =>
      sha256(level.subarray(index * BLOCK, (index + 1) * BLOCK)),
    );
  }
  using file = open(image, O_WRONLY | O_APPEND);
  for (const level of levels) writeAll(file.fd, level);
  const hash = [...(hashes[0] ?? [])].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return {
    hashtype: "sha256",
    hash,
    blocknum: data.length / BLOCK,
    blocksize: BLOCK,
    hashsize: BLOCK,
    offset: data.length,
  };
}

vmTest("a root filesystem with hashes is read only as it was made", async () => {
  const { place } = await pod();
  const image = `${place.path}/verified.img`;
  await makeExt4(image, 4, place.rootfs);
  const volume = {
    volume_type: "image_raw_block",
    source: image,
    fs_type: "ext4",
    options: [],
    dm_verity: appendVerityTree(image),
  };
  const rootfs = [
    {
      type: "overlay",
      source: "overlay",
      target: "",
      options: [`io.katacontainers.volume=${encodeBase64(utf8Encode(JSON.stringify(volume)), false, true)}`],
    },
  ];
  const [output, , status] = await run(
    "head -1 /proc/self/mountinfo; cat /etc/passwd; touch /x || echo refused",
    undefined,
    rootfs,
  );
  assert(/ - ext4 \/dev\/dm-0 ro/.test(output), `a verified disk in ${output}`);
  assertEqual([lines(output).at(-1), status], ["refused", 0]);
  // Somebody on the host changes a byte of a program.
  const bytes = readFile(image, 16 << 20);
  const at = findText(bytes, "root:x:0:0:");
  using file = open(image, O_WRONLY);
  kernel().syscall("pwrite64", file.fd, utf8Encode("toor"), 4, at);
  // The agent reads the users of the image itself, and is not given the changed block.
  await assertThrows(
    () => run("cat /etc/passwd", undefined, rootfs),
    (error) => describeError(error).includes("/etc/passwd: EIO"),
    "EIO",
  );
});

function findText(bytes: Uint8Array, text: string): number {
  const wanted = utf8Encode(text);
  for (let at = bytes.indexOf(wanted[0] ?? 0); at >= 0; at = bytes.indexOf(wanted[0] ?? 0, at + 1)) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return at;
  }
  throw new Error(`${text} is not in the image`);
}

vmTest("the end leaves nothing on the host", async () => {
  const { sandbox, place } = await pod();
  await sandbox.stop();
  place[Symbol.dispose]();
  await expectNoTraces(sandboxId);
});

function lines(text: string): string[] {
  return text.trim().split("\n");
}

/** Of a program that tells its version first. */
function lastLine(text: string): string {
  return lines(text).at(-1) ?? "";
}

runTests();
