/** containerd-shim-kata-v2: what containerd starts for each pod. */
import { describeError } from "../kata-error.ts";
import { ignoreSignal, SIGPIPE } from "../sys/process.ts";
import { exit, formatError, programArguments, runProgram, writeSync } from "../sys/program.ts";
import { parseArguments, type ShimArguments } from "./arguments.ts";
import { singleLine } from "./single-line-errors.ts";
import { SHIM_NAME, SHIM_VERSION } from "./version.ts";

const EXIT_FAILED = 1;

const STDOUT = 1;
const STDERR = 2;

async function main(): Promise<number> {
  // Whoever is gone that something was written for is an error of the write.
  ignoreSignal(SIGPIPE);
  try {
    await act(parseArguments(programArguments));
    // Some work may still wait for what does not matter any more: connections, timers.
    return exit(0);
  } catch (error) {
    // containerd makes this a part of its own line.
    writeSync(STDERR, describeError(singleLine(error)));
    return exit(EXIT_FAILED);
  }
}

/** Each action loads what it needs: a process does one of them. */
async function act(args: ShimArguments): Promise<void> {
  switch (args.action) {
    case "start":
      return writeSync(STDOUT, await (await import("./start.ts")).start(args));
    case "delete":
      return writeSync(STDOUT, await (await import("./delete.ts")).deleteShim(args));
    case "serve":
      return await (await import("./serve.ts")).serve(args);
    case "info": {
      const { readStandardInput } = await import("./bootstrap-input.ts");
      return writeSync(STDOUT, (await import("./info.ts")).runtimeInfo(readStandardInput()));
    }
    case "version":
      return writeSync(STDOUT, `${SHIM_NAME} version ${SHIM_VERSION}\n`);
  }
}

runProgram(main, (error) => writeSync(STDERR, `${SHIM_NAME}: fatal: ${formatError(error)}\n`));
