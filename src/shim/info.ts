/** `-info`: what the runtime is, for containerd from 2.0 on. Source: containerd.types.RuntimeInfo. */
import { hasCode } from "../kata-error.ts";
import { decodeAny, encodeRuntimeInfo } from "./generated.ts";
import { RUNTIME_NAME, SHIM_VERSION } from "./version.ts";

/** @param options of the runtime, an Any or nothing. @returns what goes to standard output. */
export function runtimeInfo(options: Uint8Array): Uint8Array {
  return encodeRuntimeInfo({
    name: RUNTIME_NAME,
    version: { version: SHIM_VERSION },
    options: parseOptions(options),
  });
}

function parseOptions(bytes: Uint8Array) {
  if (bytes.length === 0) return undefined;
  try {
    return decodeAny(bytes);
  } catch (error) {
    if (hasCode(error, "malformed-message")) return undefined;
    throw error;
  }
}
