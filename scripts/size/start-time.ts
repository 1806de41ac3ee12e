/**
 * How long a program takes from its start to its end, and the most memory that it had. Runs in the engine host, because a
 * process as small as that one starts another in a fifth of a millisecond, while Node needs several.
 *
 *   start-time RUNS PROGRAM [ARGUMENT]...
 *
 * prints `{"milliseconds": […], "peakKib": N}`, the times in the order of the runs.
 */
import { KataError } from "../../src/kata-error.ts";
import { O_RDWR, open } from "../../src/sys/files.ts";
import { check, kernel } from "../../src/sys/kernel.ts";
import { clone, duplicateTo, execve } from "../../src/sys/process.ts";
import { exit, programArguments, runProgram, writeSync } from "../../src/sys/program.ts";
import { CLOCK_MONOTONIC, clockGettime } from "../../src/sys/time.ts";

const MAX_RUNS = 10_000;
const WALL = 0x40000000;

function measure(
  program: string,
  args: readonly string[],
): { readonly ms: number; readonly peakKib: number } {
  using nothing = open("/dev/null", O_RDWR);
  const before = clockGettime(CLOCK_MONOTONIC);
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    for (const fd of [0, 1, 2]) duplicateTo(nothing.fd, fd);
    execve(program, [program, ...args], ["LANG=C", "PATH=/usr/bin:/bin"]);
    exit(127);
  }
  const status = new Int32Array(1);
  // struct rusage: two timevals, then ru_maxrss in KiB. Source: getrusage(2).
  const usage = new BigInt64Array(18);
  check(kernel().syscall("wait4", child.pid, status, WALL, usage), "wait for", program);
  const ms = Number(clockGettime(CLOCK_MONOTONIC) - before) / 1e6;
  child.pidfd.close();
  if (status[0] !== 0) {
    throw new KataError("unexpected-status", {
      operation: "run",
      object: program,
      hint: `wait status ${status[0]}`,
    });
  }
  return { ms, peakKib: Number(usage[4] ?? 0n) };
}

runProgram(async () => {
  const [count = "", program = "", ...args] = programArguments;
  const runs = Number(count);
  if (!Number.isInteger(runs) || runs < 1 || runs > MAX_RUNS || program === "") {
    writeSync(2, "usage: start-time RUNS PROGRAM [ARGUMENT]...\n");
    return 2;
  }
  // The first run reads the program into the page cache.
  measure(program, args);
  const results = Array.from({ length: runs }, () => measure(program, args));
  const milliseconds = results.map(({ ms }) => ms);
  const peakKib = Math.max(...results.map((result) => result.peakKib));
  writeSync(1, `${JSON.stringify({ milliseconds, peakKib })}\n`);
  return 0;
});
