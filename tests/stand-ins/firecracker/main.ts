/** The program that stands in for firecracker: its command line, and its API at the socket that it makes. */
import { loop } from "../../../src/sys/event-loop.ts";
import { setns } from "../../../src/sys/namespaces.ts";
import { CLONE_NEWNS } from "../../../src/sys/process.ts";
import { environment, exit, programArguments, runProgram, writeSync } from "../../../src/sys/program.ts";
import { accept, listen } from "../../../src/sys/socket.ts";
import { serveHttp } from "../http-request.ts";
import { answer, VERSION } from "./monitor.ts";
import { Vmm } from "./vmm.ts";

/** For the answer to the request that ends it to go out, ms. */
const LAST_WORDS_MS = 10;
/** What Firecracker takes, with a value behind it or without. The jailer tells it the times. */
const WITH_VALUE = [
  ...["--api-sock", "--id", "--config-file", "--level", "--log-path", "--metrics-path", "--seccomp-filter"],
  ...["--start-time-us", "--start-time-cpu-us", "--parent-cpu-time-us", "--http-api-max-payload-size"],
];
const WITHOUT_VALUE = ["--no-seccomp", "--no-api", "--boot-timer", "--show-level", "--show-log-origin"];

async function main(): Promise<number> {
  if (programArguments.includes("--version")) {
    writeSync(1, `Firecracker v${VERSION}\n`);
    return 0;
  }
  const options = readOptions(programArguments);
  const id = options.get("--id") ?? "anonymous-instance";
  if (!/^[A-Za-z0-9-]{1,64}$/.test(id)) return refuse(`Invalid instance ID: ${id}`);
  const socket = listen({ kind: "unix", path: options.get("--api-sock") ?? "/run/firecracker.socket" });
  const vmm = new Vmm({
    quit: () => void loop.after(LAST_WORDS_MS, () => exit(0)),
    ...wayOut(environment.KATA_STAND_IN_MOUNTS),
  });
  for (;;) {
    const stream = await accept(socket);
    const serve = serveHttp(stream, "Firecracker API", (request) => answer(vmm, id, request));
    serve.finally(() => stream.close());
  }
}

/** Where QEMU is, if this is a jail: the jailer's stand-in leaves the namespace open. */
function wayOut(mounts: string | undefined): { readonly leave?: () => void } {
  return mounts === undefined ? {} : { leave: () => setns(Number(mounts), CLONE_NEWNS) };
}

function readOptions(words: readonly string[]): Map<string, string> {
  const options = new Map<string, string>();
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (options.has(word))
      refuse(`Arguments parsing error: The argument '${word}' was provided more than once.`);
    if (WITHOUT_VALUE.includes(word)) options.set(word, "");
    else if (WITH_VALUE.includes(word))
      options.set(word, words[++at] ?? refuse(`Arguments parsing error: '${word}' needs a value.`));
    else
      refuse(
        `Arguments parsing error: Found argument '${word}' which wasn't expected, or isn't valid in this context.`,
      );
  }
  return options;
}

function refuse(why: string): never {
  writeSync(2, `${why}\n`);
  return exit(153);
}

runProgram(main);
