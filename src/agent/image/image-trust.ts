/**
 * What the pod's owner says of images that the agent pulls itself: passwords of registries, and which images are accepted. It is in the
 * initdata (`[image]` of `cdh.toml`), or named by the guest's kernel parameters.
 * Source: the guest components' data hub, "image" of its configuration.
 */
import { KataError } from "../../kata-error.ts";
import { O_RDONLY, open, readTextFileIfExists, readToEnd } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import type { DataHub } from "../confidential/data-hub.ts";
import { IMAGE_SOURCES_FILE, type ImageSources, INITDATA_DIRECTORY } from "../policy/initdata-files.ts";
import { type ImagePolicy, parseImagePolicy } from "./image-policy.ts";
import { parseRegistryPasswords, type RegistryPasswords } from "./registry-passwords.ts";

/** Bytes of a file of the owner's. */
const MAX_FILE_BYTES = 1 << 20;

export interface ImageTrust {
  readonly passwords: RegistryPasswords;
  /** Undefined if every image is accepted. */
  readonly policy: ImagePolicy | undefined;
  /** The content of what a policy names. */
  readonly read: (source: string) => Promise<string>;
}

/**
 * @param parameters of the guest's kernel; what initdata says goes before them.
 * @throws KataError `invalid-argument` for what cannot be read: nothing is pulled with less than the owner asked for.
 */
export async function loadImageTrust(
  parameters: ImageSources,
  hub: DataHub,
  directory = INITDATA_DIRECTORY,
): Promise<ImageTrust> {
  const own = readTextFileIfExists(`${directory}/${IMAGE_SOURCES_FILE}`);
  const sources = { ...parameters, ...(own === undefined ? {} : (JSON.parse(own) as ImageSources)) };
  const read = (source: string) => readSource(source, hub);
  return {
    passwords:
      sources.credentials === undefined
        ? () => undefined
        : parseRegistryPasswords(await read(sources.credentials)),
    policy: sources.policy === undefined ? undefined : parseImagePolicy(await read(sources.policy)),
    read,
  };
}

async function readSource(source: string, hub: DataHub): Promise<string> {
  if (source.startsWith("file:///")) {
    const path = source.slice("file://".length);
    using file = open(path, O_RDONLY);
    return utf8Decode(readToEnd(file.fd, path, MAX_FILE_BYTES));
  }
  if (source.startsWith("kbs://")) return utf8Decode(await hub.resource(source));
  if (/^\s*[{[-]/.test(source)) return source;
  throw new KataError("invalid-argument", {
    operation: "read what images are pulled by",
    object: JSON.stringify(source.slice(0, 200)),
    hint: "it is file:///PATH in the guest, kbs:///PATH of its confidential data hub, or the text itself",
  });
}
