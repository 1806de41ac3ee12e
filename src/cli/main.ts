/** kata-runtime: what an administrator asks about a host. */
import { configurationPaths } from "../config/paths.ts";
import { describeError, hasCode } from "../kata-error.ts";
import { ignoreSignal, SIGPIPE } from "../sys/process.ts";
import {
  environment,
  formatError,
  programArguments,
  programName,
  runProgram,
  writeSync,
} from "../sys/program.ts";
import { parseArguments } from "./arguments.ts";
import { COMMANDS } from "./commands.ts";
import { CONTAINER_FLAGS } from "./container-commands.ts";
import { commandHelp, programHelp } from "./help.ts";
import { KATA_CTL, KATA_CTL_COMMANDS, KATA_CTL_FLAGS } from "./kata-ctl/commands.ts";
import { type Command, EXIT_FAILED, EXIT_OK, EXIT_USAGE, type FlagValues, type Output } from "./types.ts";
import { runtimeVersionText, versionText } from "./version-command.ts";

/** By its other name, the program has the other's spelling. */
const CALLED_KATA_CTL = programName.split("/").at(-1) === KATA_CTL;
const [PROGRAM, PROGRAM_COMMANDS, MORE_FLAGS] = CALLED_KATA_CTL
  ? ([KATA_CTL, KATA_CTL_COMMANDS, KATA_CTL_FLAGS] as const)
  : (["kata-runtime", COMMANDS, CONTAINER_FLAGS] as const);

const OUTPUT: Output = {
  data: (text) => writeSync(1, text),
  progress: (text) => writeSync(2, text),
};

async function main(): Promise<number> {
  // A reader that has seen enough, such as head(1), is no reason to die.
  ignoreSignal(SIGPIPE);
  let invocation: ReturnType<typeof parseArguments>;
  try {
    invocation = parseArguments(programArguments, PROGRAM_COMMANDS, MORE_FLAGS);
  } catch (error) {
    OUTPUT.progress(`${PROGRAM}: ${describeError(error)}\n`);
    return EXIT_USAGE;
  }
  switch (invocation.do) {
    case "help": {
      const { command } = invocation;
      OUTPUT.data(
        command === undefined
          ? programHelp(PROGRAM, PROGRAM_COMMANDS, MORE_FLAGS)
          : commandHelp(PROGRAM, command),
      );
      return EXIT_OK;
    }
    case "version":
      OUTPUT.data(CALLED_KATA_CTL ? versionText(PROGRAM) : runtimeVersionText(PROGRAM));
      return EXIT_OK;
    case "show-paths":
      OUTPUT.data(`${configurationPaths({}).join("\n")}\n`);
      return EXIT_OK;
    case "run":
      return await run(invocation);
  }
}

async function run({
  command,
  flags,
  operands,
}: {
  command: Command;
  flags: FlagValues;
  operands: readonly string[];
}): Promise<number> {
  try {
    return await command.run({ program: PROGRAM, flags, operands, environment, output: OUTPUT });
  } catch (error) {
    if (hasCode(error, "invalid-argument")) {
      OUTPUT.progress(`${PROGRAM}: ${describeError(error)}\n`);
      return EXIT_USAGE;
    }
    // What cannot be foreseen is a bug, and ends with a stack.
    if (!hasCode(error, ...EXPECTED)) throw error;
    OUTPUT.progress(`${PROGRAM}: ${describeError(error)}\n`);
    return EXIT_FAILED;
  }
}

/** Codes of failures that the person at the terminal can do something about. */
const EXPECTED = [
  "invalid-configuration",
  "not-found",
  "permission-denied",
  "system-call",
  "unsupported",
  "unavailable",
  "deadline-exceeded",
  "oversized-file",
  "invalid-data",
  "shim-refused",
  "no-route",
  "closed",
  "malformed-message",
  "failed-precondition",
];

runProgram(main, (error) => writeSync(2, `${PROGRAM}: fatal: ${formatError(error)}\n`));
