/**
 * The program that stands in for a service that makes machines, such as the cloud API adaptor:
 *
 *   stand-in-remote-hypervisor SOCKET DIRECTORY KERNEL INITRD [KERNEL-PARAMETER…]
 *
 * It serves the ttrpc protocol at SOCKET, keeps what machines need in DIRECTORY, and writes every call into DIRECTORY/calls, a line of
 * JSON each. It prints a line when it listens.
 */
import { hypervisorService } from "../../../build/generated/remote.ts";
import { serveConnection } from "../../../src/rpc/server.ts";
import { unlinkIfExists } from "../../../src/sys/files.ts";
import { ignoreSignal, listenForSignals, SIGINT, SIGPIPE, SIGTERM } from "../../../src/sys/process.ts";
import { exit, programArguments, runProgram, writeSync } from "../../../src/sys/program.ts";
import { accept, listen } from "../../../src/sys/socket.ts";
import { MachineService } from "./machine-service.ts";

async function main(): Promise<number> {
  const [socket, directory, kernel, initrd, ...parameters] = programArguments;
  if (socket === undefined || directory === undefined || kernel === undefined || initrd === undefined) {
    writeSync(2, "usage: stand-in-remote-hypervisor SOCKET DIRECTORY KERNEL INITRD [KERNEL-PARAMETER...]\n");
    return 2;
  }
  ignoreSignal(SIGPIPE);
  const machines = new MachineService({ directory, kernel, initrd, parameters });
  unlinkIfExists(socket);
  const listener = listen({ kind: "unix", path: socket });
  listenForSignals([SIGINT, SIGTERM], () => {
    void machines.stopAll().then(() => exit(0));
  });
  writeSync(1, "listening\n");
  for (;;) {
    const stream = await accept(listener);
    serveConnection(stream, [hypervisorService(machines)]).catch((error: unknown) =>
      writeSync(2, `${String(error)}\n`),
    );
  }
}

runProgram(main);
