/**
 * kata-overlay: shows the verified layers of an image on the host, for tools there that look into root filesystems. The guest
 * does not use it: it gets the layers as disks.
 */
import { KataError } from "../kata-error.ts";
import { formatError, programArguments, runProgram, writeSync } from "../sys/program.ts";
import { HELP, parseArguments, USAGE } from "./arguments.ts";
import { debugForm } from "./debug-form.ts";
import { layersOf } from "./layers.ts";
import { mountOverlay } from "./mount-overlay.ts";

const EXIT_USAGE = 2;
const EXIT_FAILED = 1;

async function main(): Promise<number> {
  const command = parseArguments(programArguments);
  switch (command.do) {
    case "help":
      writeSync(1, HELP);
      return 0;
    case "refuse":
      writeSync(2, `error: ${command.why}\n\n${USAGE}\n\nFor more information, try '--help'.\n`);
      return EXIT_USAGE;
    case "mount":
      try {
        await mountOverlay(layersOf(command.options), command.directory);
        return 0;
      } catch (error) {
        if (!(error instanceof KataError)) throw error;
        writeSync(2, `Error: ${debugForm(error)}\n`);
        return EXIT_FAILED;
      }
  }
}

runProgram(main, (error) => writeSync(2, `kata-overlay: ${formatError(error)}\n`));
