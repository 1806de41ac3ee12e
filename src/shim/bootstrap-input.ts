/**
 * What containerd writes to the standard input of `start`.
 *
 * Up to 2.2 it is the task's options in an Any, from 2.3 on a BootstrapParams; both begin with two texts, so each decodes as
 * the other, and only what the texts are tells them apart.
 */
import { hasErrno, KataError } from "../kata-error.ts";
import { readToEnd } from "../sys/files.ts";
import { isTerminal } from "../sys/terminal.ts";
import type { PackedMessage } from "./any-type.ts";
import { type BootstrapParams, decodeAny, decodeBootstrapParams } from "./generated.ts";

export type BootstrapInput =
  | { readonly kind: "none" }
  | { readonly kind: "options"; readonly options: PackedMessage }
  | { readonly kind: "parameters"; readonly parameters: BootstrapParams };

/** containerd's own bound, bytes. */
const MAX_INPUT_BYTES = 10 << 20;

const STDIN = 0;

/** Reads standard input to its end. @throws KataError `oversized-file` beyond 10 MiB. */
export function readStandardInput(): Uint8Array {
  // Somebody who tries the command by hand is not waited for.
  if (isTerminal(STDIN)) return new Uint8Array(0);
  try {
    return readToEnd(STDIN, "standard input", MAX_INPUT_BYTES);
  } catch (error) {
    if (hasErrno(error, "EBADF", "EAGAIN")) return new Uint8Array(0);
    throw error;
  }
}

/** @param id and `namespace` are the command line's; what is neither message is passed over, as upstream does with all of it. */
export function parseBootstrapInput(bytes: Uint8Array, id: string, namespace: string): BootstrapInput {
  if (bytes.length === 0) return { kind: "none" };
  const parameters = attempt(() => decodeBootstrapParams(bytes));
  if (parameters?.instanceId === id && parameters.namespace === namespace) {
    return { kind: "parameters", parameters };
  }
  const options = attempt(() => decodeAny(bytes));
  if (options !== undefined && /^[\w./-]+$/.test(options.typeUrl)) return { kind: "options", options };
  return { kind: "none" };
}

function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof KataError && error.code === "malformed-message") return undefined;
    throw error;
  }
}
