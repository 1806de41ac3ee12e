/** mount.tar: mounts a layer of the kind `tar`, for mount(8) and kata-overlay. */
import { KataError } from "../kata-error.ts";
import { parseArguments } from "../overlay/arguments.ts";
import { debugForm } from "../overlay/debug-form.ts";
import { formatError, programArguments, runProgram, writeSync } from "../sys/program.ts";
import { mountFlags } from "./arguments.ts";
import { mountTar } from "./mount-tar.ts";

const EXIT_USAGE = 2;
const EXIT_FAILED = 1;
const USAGE = "Usage: mount.tar [OPTIONS] <SOURCE> <DIRECTORY>";
const HELP = `Mounts a layer that tardev-snapshotter or kata-snapshotter --format tar has made, read-only.

${USAGE}

Arguments:
  <SOURCE>     The layer: an archive with its index and hashes
  <DIRECTORY>  The directory to mount on

Options:
  -t <TYPE>                The file system's type: tar
  -o, --options <OPTIONS>  The options of the mount, separated by commas: dev, nodev, suid, nosuid, ro, exec, noexec, atime, noatime,
                           dirsync, sync, async
  -h, --help               Print help

Example:
  mount.tar /var/lib/layer /mnt -t tar -o ro
`;

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
        mountTar(command.source, command.directory, mountFlags(command.type, command.options), "layer");
        return 0;
      } catch (error) {
        if (!(error instanceof KataError)) throw error;
        writeSync(2, `Error: ${debugForm(error)}\n`);
        return EXIT_FAILED;
      }
  }
}

runProgram(main, (error) => writeSync(2, `mount.tar: ${formatError(error)}\n`));
