import { hasCode, hasErrno } from "../../kata-error.ts";
import { mkdirAll, removeTree, S_IFBLK, S_IFMT, stat, writeFile } from "../../sys/files.ts";
import { assert, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { namedBlockNode } from "./block-device.ts";
import { makeBlockNode } from "./block-node.ts";

const PATH = "/tmp/kata-block-node-test";

test("makeBlockNode() makes a node, and leaves one that the kernel was quicker to make", () => {
  try {
    for (let times = 0; times < 2; times++) makeBlockNode(PATH, 7, 250);
    const { mode, deviceMajor, deviceMinor } = stat(PATH);
    assert((mode & S_IFMT) === S_IFBLK && deviceMajor === 7 && deviceMinor === 250, "it is device 7:250");
  } finally {
    removeTree(PATH);
  }
});

test("makeBlockNode() tells of other failures", () => {
  let error: unknown;
  try {
    makeBlockNode("/tmp/kata-no-such-directory/node", 7, 250);
  } catch (caught) {
    error = caught;
  }
  assert(hasErrno(error, "ENOENT"), "it says ENOENT");
});

test("a disk that the kernel shows without its numbers yet is waited for", async () => {
  const sysfs = `${PATH}.sysfs`;
  mkdirAll(`${sysfs}/class/block/kata-test`);
  try {
    await assertThrows(
      () => namedBlockNode("/dev/kata-test", 50, undefined, sysfs),
      (error) => hasCode(error, "deadline-exceeded"),
      "it has not come",
    );
    writeFile(`${sysfs}/class/block/kata-test/dev`, "7:250\n");
    assert((await namedBlockNode("/dev/kata-test", 50, undefined, sysfs)) === "/dev/kata-test", "its node");
    assert(stat("/dev/kata-test").deviceMinor === 250, "it is device 7:250");
  } finally {
    removeTree("/dev/kata-test");
    removeTree(sysfs);
  }
});

runTests();
