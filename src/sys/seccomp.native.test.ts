/** System call filters on the real kernel. A clone takes each filter, so that this program stays free. */
import { hasCode, hasErrno } from "../kata-error.ts";
import { loop } from "./event-loop.ts";
import { kernel } from "./kernel.ts";
import { clone, PR_SET_NO_NEW_PRIVS, prctl, waitForChild } from "./process.ts";
import { exit } from "./program.ts";
import { actionAvailable, loadFilter } from "./seccomp.ts";
import { SYSCALL_NUMBERS } from "./syscall-numbers.ts";
import { assertEqual, assertThrows, runTests, test } from "./testing/native-test.ts";

const SECCOMP_RET_KILL_PROCESS = 0x80000000;
const SECCOMP_RET_ERRNO = 0x00050000;
const SECCOMP_RET_ALLOW = 0x7fff0000;
const BPF_LD_W_ABS = 0x20;
const BPF_JEQ_K = 0x15;
const BPF_RET_K = 0x06;
const SIGSYS_STATUS = 128 + 31;

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, constant: number];

function program(...instructions: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(instructions.length * 8));
  for (const [index, [code, jumpTrue, jumpFalse, constant]] of instructions.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jumpTrue);
    view.setUint8(index * 8 + 3, jumpFalse);
    view.setUint32(index * 8 + 4, constant, true);
  }
  return new Uint8Array(view.buffer);
}

/** Answers getppid with `action`, and lets all others through. */
function filterOfGetppid(action: number): Uint8Array {
  return program(
    [BPF_LD_W_ABS, 0, 0, 0],
    [BPF_JEQ_K, 0, 1, SYSCALL_NUMBERS.getppid],
    [BPF_RET_K, 0, 0, action],
    [BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW],
  );
}

/** Exit status of a clone that runs `body`. */
async function statusOf(body: () => number): Promise<number> {
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    loop.abandon();
    prctl(PR_SET_NO_NEW_PRIVS, 1);
    exit(body());
  }
  const { status } = await waitForChild(child.pidfd, child.pid);
  child.pidfd.close();
  return status;
}

test("a filter answers one call with its errno and lets the others through", async () => {
  const status = await statusOf(() => {
    loadFilter(filterOfGetppid(SECCOMP_RET_ERRNO | 71));
    const [parent, self] = [kernel().syscall("getppid"), kernel().syscall("getpid")];
    return parent === -71 && self > 1 ? 0 : 1;
  });
  assertEqual(status, 0);
});

test("a filter ends the process at a call", async () => {
  const status = await statusOf(() => {
    loadFilter(filterOfGetppid(SECCOMP_RET_KILL_PROCESS));
    kernel().syscall("getppid");
    return 0;
  });
  assertEqual(status, SIGSYS_STATUS);
});

test("the kernel refuses a program without an end", async () => {
  const status = await statusOf(() => {
    try {
      loadFilter(program([BPF_LD_W_ABS, 0, 0, 0]));
      return 1;
    } catch (error) {
      return hasErrno(error, "EINVAL") ? 0 : 2;
    }
  });
  assertEqual(status, 0);
});

test("loadFilter() refuses what is no list of instructions", async () => {
  for (const bytes of [0, 7, 8 * 4097]) {
    await assertThrows(
      () => loadFilter(new Uint8Array(bytes)),
      (error) => hasCode(error, "invalid-argument"),
      `invalid-argument for ${bytes} bytes`,
    );
  }
});

test("actionAvailable() knows an action of the kernel from a made-up one", () => {
  assertEqual([SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW, 0x12340000].map(actionAvailable), [
    true,
    true,
    false,
  ]);
});

runTests();
