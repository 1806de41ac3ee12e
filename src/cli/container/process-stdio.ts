/** The stdio that a command line has inherited, for the shim: each stream by this process and its number. */

import { descriptorAddress } from "../../shim/stdio-address.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { getpid } from "../../sys/process.ts";

export interface StdioAddresses {
  readonly terminal: boolean;
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param terminal the process's side of one, or undefined for standard input, output and error as they are. */
export function ownStdio(terminal: FileDescriptor | undefined): StdioAddresses {
  const address = (fd: number) => descriptorAddress(getpid(), terminal?.fd ?? fd);
  const stderr = terminal === undefined ? address(2) : "";
  return { terminal: terminal !== undefined, stdin: address(0), stdout: address(1), stderr };
}
