/**
 * `-info`: what the runtime is and does, for containerd from 2.0 on, which offers Kubernetes no more than that.
 * Source: containerd.types.RuntimeInfo; OCI runtime specification, "Features Structure".
 */
import { hasCode } from "../kata-error.ts";
import { hostFeatures } from "../sandbox/host-features.ts";
import { utf8Encode } from "../sys/utf8.ts";
import { FEATURES_TYPE } from "./any-type.ts";
import { decodeAny, encodeRuntimeInfo } from "./generated.ts";
import { configurationPathOf } from "./runtime-options.ts";
import { RUNTIME_NAME, SHIM_VERSION } from "./version.ts";

/** @param options of the runtime, an Any or nothing. @returns what goes to standard output. */
export function runtimeInfo(options: Uint8Array): Uint8Array {
  const packed = parseOptions(options);
  const features = hostFeatures(configurationOf(packed));
  return encodeRuntimeInfo({
    name: RUNTIME_NAME,
    version: { version: SHIM_VERSION },
    options: packed,
    features: { typeUrl: FEATURES_TYPE, value: utf8Encode(JSON.stringify(features)) },
  });
}

/** Options that cannot be read are told of when a container is made. */
function configurationOf(packed: ReturnType<typeof parseOptions>): string {
  try {
    return configurationPathOf(packed);
  } catch (error) {
    if (hasCode(error, "malformed-message")) return "";
    throw error;
  }
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
