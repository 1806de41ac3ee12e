/** The program that stands in for cloud-hypervisor: its command line, and its API at the socket that it inherits. */
import { FileDescriptor } from "../../../src/sys/descriptor.ts";
import { loop } from "../../../src/sys/event-loop.ts";
import { setNonBlocking } from "../../../src/sys/fd-stream.ts";
import { exit, programArguments, runProgram, writeSync } from "../../../src/sys/program.ts";
import { accept } from "../../../src/sys/socket.ts";
import { serveHttp } from "../http-request.ts";
import { Monitor } from "./monitor.ts";

/** For the answer to the request that ends it to go out, ms. */
const LAST_WORDS_MS = 10;

async function main(): Promise<number> {
  if (programArguments.includes("--version")) {
    writeSync(1, "cloud-hypervisor v51.1\n");
    return 0;
  }
  const socket = new FileDescriptor(inheritedSocket(programArguments));
  setNonBlocking(socket.fd);
  const monitor = new Monitor(() => void loop.after(LAST_WORDS_MS, () => exit(0)));
  for (;;) {
    const stream = await accept(socket);
    serveHttp(stream, "Cloud Hypervisor API", (request) => monitor.answer(request)).finally(() =>
      stream.close(),
    );
  }
}

/** `--api-socket fd=N` is all that the driver gives, besides `--seccomp false` and `-v`. */
function inheritedSocket(words: readonly string[]): number {
  const [flag, value = "", ...more] = words;
  const rest = more[0] === "--seccomp" && more[1] === "false" ? more.slice(2) : more;
  const [, number] = /^fd=(\d+)$/.exec(value) ?? [];
  if (flag === "--api-socket" && number !== undefined && rest.every((word) => word === "-v"))
    return Number(number);
  writeSync(2, `unexpected arguments: ${JSON.stringify(words)}\n`);
  return exit(1);
}

runProgram(main);
