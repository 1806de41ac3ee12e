/** Running a command of the build; its output is shown only if it fails. */
import { execFile } from "node:child_process";

/**
 * Runs `command` to its end.
 *
 * @param options.timeout ms after which it is killed; without it, it may take for ever.
 * @returns what it wrote to stdout.
 * @throws Error with the command line and its output, if it could not be started or did not exit with 0.
 */
export function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly timeout?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { ...options, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${args.join(" ")}: ${error.message}\n${stdout}${stderr}`));
    });
  });
}
