/**
 * How fast a volume is, seen from inside of a container: `volume-probe DIRECTORY SUBJECT` prints figures as JSON. Runs in the engine
 * host; volume-bench.ts builds it, fills the directory and starts it.
 */
import { KataError } from "../../src/kata-error.ts";
import {
  mkdirAll,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  open,
  read,
  removeTree,
  writeAll,
} from "../../src/sys/files.ts";
import { check, kernel } from "../../src/sys/kernel.ts";
import { programArguments, runProgram, writeSync } from "../../src/sys/program.ts";
import { spawn } from "../../src/sys/spawn.ts";
import { CLOCK_MONOTONIC, clockGettime } from "../../src/sys/time.ts";
import { type Figure, figure } from "./figure.ts";
import { BLOCK_BYTES, RANDOM_BLOCKS, RANDOM_SAMPLES, ROUNDS, SEQUENTIAL_BYTES } from "./volume-sizes.ts";

const CHUNK_BYTES = 1 << 20;

async function main(): Promise<number> {
  const [directory = "", subject = ""] = programArguments;
  const figures = [
    ...sequential(directory, subject),
    ...random(directory, subject),
    await tarExtraction(directory, subject),
  ];
  writeSync(1, `${JSON.stringify(figures)}\n`);
  return 0;
}

/** Files that have not been read here before; files that are written to the disk. */
function sequential(directory: string, subject: string): Figure[] {
  const reads: number[] = [];
  const writes: number[] = [];
  const chunk = new Uint8Array(CHUNK_BYTES).fill(0x5a);
  for (let round = 0; round < ROUNDS; round++) {
    reads.push(
      milliseconds(() => {
        using file = open(`${directory}/sequential-${round}`, O_RDONLY);
        while (read(file.fd, chunk) > 0);
      }),
    );
    writes.push(
      milliseconds(() => {
        using file = open(`${directory}/written-${round}`, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
        for (let at = 0; at < SEQUENTIAL_BYTES; at += CHUNK_BYTES) writeAll(file.fd, chunk);
        check(kernel().syscall("fsync", file.fd), "flush", directory);
      }),
    );
  }
  return [
    figure("volume-read-4MiB", subject, "ms", reads),
    figure("volume-write-4MiB", subject, "ms", writes),
  ];
}

/** Each block once, in an order that nobody can foresee but that is the same for all. */
function random(directory: string, subject: string): Figure[] {
  using file = open(`${directory}/random`, O_RDWR);
  const block = new Uint8Array(BLOCK_BYTES);
  const reads: number[] = [];
  const writes: number[] = [];
  for (let sample = 0; sample < RANDOM_SAMPLES; sample++) {
    // 641 and the number of blocks have no common divisor.
    const offset = ((sample * 641) % RANDOM_BLOCKS) * BLOCK_BYTES;
    const from = kernel().syscall;
    reads.push(
      1000 *
        milliseconds(
          () => void check(from("pread64", file.fd, block, block.length, offset), "read", directory),
        ),
    );
  }
  for (let sample = 0; sample < RANDOM_SAMPLES; sample++) {
    const offset = ((sample * 397) % RANDOM_BLOCKS) * BLOCK_BYTES;
    writes.push(
      1000 *
        milliseconds(() => {
          check(kernel().syscall("pwrite64", file.fd, block, block.length, offset), "write", directory);
          check(kernel().syscall("fdatasync", file.fd), "flush", directory);
        }),
    );
  }
  return [
    figure("volume-read-random", subject, "us", reads),
    figure("volume-write-random", subject, "us", writes),
  ];
}

async function tarExtraction(directory: string, subject: string): Promise<Figure> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const target = `${directory}/extracted`;
    mkdirAll(target);
    const begin = clockGettime(CLOCK_MONOTONIC);
    const child = await spawn({
      path: "/bin/tar",
      args: ["tar", "xf", `${directory}/small.tar`, "-C", target],
      environment: [],
      descriptors: ["null", "null", 2],
    });
    const { status } = await child.exited;
    times.push(Number(clockGettime(CLOCK_MONOTONIC) - begin) / 1e6);
    if (status !== 0) throw new KataError("internal", { operation: "run tar", object: `status ${status}` });
    removeTree(target);
  }
  return figure("volume-tar-files", subject, "ms", times);
}

function milliseconds(action: () => void): number {
  const begin = clockGettime(CLOCK_MONOTONIC);
  action();
  return Number(clockGettime(CLOCK_MONOTONIC) - begin) / 1e6;
}

runProgram(main);
