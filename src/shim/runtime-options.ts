/** The options that a task's runtime class brings. Source: containerd, runtimeoptions.v1.Options. */
import { messageName, type PackedMessage } from "./any-type.ts";
import { decodeRuntimeOptions } from "./generated.ts";

/** Its name, and the one that containerd's CRI used before 1.4. */
const OPTIONS_TYPES = ["runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options"];

/**
 * The configuration file that the options name; empty if they name none. Options of other runtimes are passed over.
 *
 * @throws KataError `malformed-message` for what is no message.
 */
export function configurationPathOf(options: PackedMessage | undefined): string {
  if (options === undefined || !OPTIONS_TYPES.includes(messageName(options.typeUrl))) return "";
  return decodeRuntimeOptions(options.value).configPath;
}
