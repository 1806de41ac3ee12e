/** Both ends of a process's standard streams: three pipes, or a terminal whose master the child hands over. */
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { kernel } from "../../sys/kernel.ts";
import { pipe } from "../../sys/pipe.ts";
import { duplicate } from "../../sys/process.ts";
import { ProcessOutput } from "./process-output.ts";

const F_SETPIPE_SZ = 1031;

/** The agent's ends. */
export interface ProcessStdio {
  readonly stdin: FdStream;
  readonly stdout: ProcessOutput;
  /** A terminal has none. */
  readonly stderr: ProcessOutput | undefined;
  /** The master end, if it is a terminal; its owner is `stdin`. */
  readonly terminal: FdStream | undefined;
  close(): void;
}

/** The child's ends, to become its descriptors 0, 1 and 2; the agent closes them after the clone. */
export interface ChildPipes extends Disposable {
  readonly stdin: FileDescriptor;
  readonly stdout: FileDescriptor;
  readonly stderr: FileDescriptor;
}

/** @param pipeSize bytes; 0 for the kernel's default. A size that the kernel refuses leaves the default. */
export function makePipes(pipeSize: number): { readonly ours: ProcessStdio; readonly theirs: ChildPipes } {
  const acquired: FileDescriptor[] = [];
  try {
    const [stdin, stdout, stderr] = [0, 1, 2].map(() => {
      const ends = pipe();
      acquired.push(ends.reader, ends.writer);
      if (pipeSize > 0) kernel().syscall("fcntl", ends.writer.fd, F_SETPIPE_SZ, pipeSize);
      return ends;
    });
    if (stdin === undefined || stdout === undefined || stderr === undefined)
      throw new RangeError("three pipes");
    const theirs = [stdin.reader, stdout.writer, stderr.writer] as const;
    return {
      ours: stdioOf(
        new FdStream(stdin.writer),
        new ProcessOutput(stdout.reader, "stdout"),
        new ProcessOutput(stderr.reader, "stderr"),
      ),
      theirs: {
        stdin: theirs[0],
        stdout: theirs[1],
        stderr: theirs[2],
        [Symbol.dispose]() {
          for (const end of theirs) end.close();
        },
      },
    };
  } catch (error) {
    for (const end of acquired) end.close();
    throw error;
  }
}

/** The streams over a terminal's master end, which is taken over. */
export function terminalStdio(master: FileDescriptor): ProcessStdio {
  // Reading and writing have an owner each: at its end the output closes, while input may still be written.
  const output = duplicate(master.fd);
  const stdin = new FdStream(master);
  return stdioOf(stdin, new ProcessOutput(output, "terminal"), undefined, stdin);
}

function stdioOf(
  stdin: FdStream,
  stdout: ProcessOutput,
  stderr: ProcessOutput | undefined,
  terminal?: FdStream,
): ProcessStdio {
  return {
    stdin,
    stdout,
    stderr,
    terminal,
    close() {
      stdin.close();
      stdout.close();
      stderr?.close();
    },
  };
}
