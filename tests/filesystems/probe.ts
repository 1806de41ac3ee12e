/**
 * The program of `npm run test:fs`, for the engine host: tries a file system from inside of a container.
 *
 *   probe check DIRECTORY    a JSON object: what each check has complained of, empty for nothing
 *   probe wait FILE TEXT     ends once FILE holds TEXT, or after 20 s with status 1
 */

import { describeError } from "../../src/kata-error.ts";
import { sleep } from "../../src/sys/clock.ts";
import { loop } from "../../src/sys/event-loop.ts";
import { mkdirAll, readTextFileIfExists, removeTree } from "../../src/sys/files.ts";
import { programArguments, runProgram, writeSync } from "../../src/sys/program.ts";
import { CHECKS } from "./checks.ts";

const WAIT_MS = 20_000;
const PAUSE_MS = 50;

async function main(): Promise<number> {
  const [verb, place = "", text = ""] = programArguments;
  if (verb === "wait") return await waitFor(place, text);
  const complaints: Record<string, string> = {};
  for (const [name, run] of Object.entries(CHECKS)) {
    const directory = `${place}/check-${name}`;
    mkdirAll(directory, 0o777);
    try {
      run(directory);
      complaints[name] = "";
    } catch (error) {
      complaints[name] = describeError(error);
    }
    removeTree(directory);
  }
  writeSync(1, `${JSON.stringify(complaints)}\n`);
  return 0;
}

async function waitFor(file: string, text: string): Promise<number> {
  const deadline = loop.now() + WAIT_MS;
  while (loop.now() < deadline) {
    if (readTextFileIfExists(file)?.trim() === text) return 0;
    await sleep(loop, PAUSE_MS);
  }
  return 1;
}

runProgram(main);
