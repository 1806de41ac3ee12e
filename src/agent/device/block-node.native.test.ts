import { hasErrno } from "../../kata-error.ts";
import { removeTree, S_IFBLK, S_IFMT, stat } from "../../sys/files.ts";
import { assert, runTests, test } from "../../sys/testing/native-test.ts";
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

runTests();
