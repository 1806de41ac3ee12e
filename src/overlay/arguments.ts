/**
 * The command line of kata-overlay, which mount.fuse3 starts for mounts of type `fuse3.kata-overlay`; mount.tar's has the same form.
 *
 * Source: the helper of the same name in AKS's confidential containers package 3.2.0.azl5, facts only.
 */

export type OverlayCommand =
  | { readonly do: "help" }
  | {
      readonly do: "mount";
      readonly source: string;
      readonly directory: string;
      readonly type: string | undefined;
      readonly options: readonly string[];
    }
  /** @property why a sentence as that program's argument parser words it. */
  | { readonly do: "refuse"; readonly why: string };

export const USAGE = "Usage: kata-overlay [OPTIONS] <SOURCE> <DIRECTORY>";

export const HELP = `${USAGE}

Arguments:
  <SOURCE>     The source of the mount, which has no meaning
  <DIRECTORY>  The directory to mount on

Options:
  -t <TYPE>             The file system's type, which has no meaning
  -o, --options <OPTIONS>  The options of the mount, separated by commas: io.katacontainers.fs-opt.layer-src-prefix=DIR,
                        io.katacontainers.fs-opt.layer=BASE64 of FILE,TYPE,OPTION...
  -h, --help            Print help

Example:
  kata-overlay / /mnt -o io.katacontainers.fs-opt.layer=$(printf /layer.tar,tar,ro | base64 -w0)
`;

const WITH_VALUE = new Set(["-t", "-o", "--options"]);

export function parseArguments(args: readonly string[]): OverlayCommand {
  const operands: string[] = [];
  const options: string[] = [];
  let type: string | undefined;
  let onlyOperands = false;
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? "";
    if (onlyOperands || !argument.startsWith("-") || argument === "-") {
      operands.push(argument);
      continue;
    }
    if (argument === "--") {
      onlyOperands = true;
      continue;
    }
    if (argument === "-h" || argument === "--help") return { do: "help" };
    const [flag, inline] = splitFlag(argument);
    if (!WITH_VALUE.has(flag)) return refuse(`unexpected argument '${argument}' found`);
    const value = inline ?? args[++index];
    if (value === undefined) return refuse(`a value is required for '${shown(flag)}' but none was supplied`);
    if (flag === "-t") type = value;
    else options.push(...value.split(","));
  }
  const [source, directory, more] = operands;
  if (more !== undefined) return refuse(`unexpected argument '${more}' found`);
  if (source === undefined || directory === undefined) {
    const missing = source === undefined ? "  <SOURCE>\n  <DIRECTORY>" : "  <DIRECTORY>";
    return refuse(`the following required arguments were not provided:\n${missing}`);
  }
  return { do: "mount", source, directory, type, options };
}

/** `-oX`, `-o=X` and `--options=X`. */
function splitFlag(argument: string): [flag: string, value?: string] {
  if (argument.startsWith("--")) {
    const equals = argument.indexOf("=");
    return equals < 0 ? [argument] : [argument.slice(0, equals), argument.slice(equals + 1)];
  }
  const rest = argument.slice(2);
  return rest === "" ? [argument] : [argument.slice(0, 2), rest.startsWith("=") ? rest.slice(1) : rest];
}

function shown(flag: string): string {
  return flag === "-t" ? "-t <TYPE>" : "--options <OPTIONS>";
}

function refuse(why: string): OverlayCommand {
  return { do: "refuse", why };
}
