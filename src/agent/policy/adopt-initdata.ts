/**
 * Taking initdata over: it is checked, its files go where the guest's components look, and its policy is for the agent.
 *
 * Part of the extension. Source: upstream's agent.
 */
import { parse } from "smol-toml";
import { KataError } from "../../kata-error.ts";
import {
  type Initdata,
  initdataDigest,
  POLICY_KEY,
  parseInitdata,
  unpackInitdata,
} from "../../policy/initdata/initdata.ts";
import { mkdirAll, writeFile } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { IMAGE_SOURCES_FILE, type ImageSources, INITDATA_DIRECTORY } from "./initdata-files.ts";

/** What the data hub's configuration is called; it says how images are pulled, also where the agent pulls them. */
const HUB_CONFIGURATION = "cdh.toml";

export interface AdoptedInitdata {
  /** By its own algorithm; only a confidential machine has anything to compare it with, and it takes its time. */
  digest(): Uint8Array;
  readonly policy: string | undefined;
}

/**
 * @param payload compressed.
 * @throws KataError `invalid-initdata`: a guest whose owner meant to bind it must not run without that.
 */
export function adoptInitdata(payload: Uint8Array, directory = INITDATA_DIRECTORY): AdoptedInitdata {
  const text = unpackInitdata(payload, "disk");
  const initdata = parseInitdata(utf8Decode(text), "disk");
  mkdirAll(directory, 0o755);
  writeFile(`${directory}/initdata.toml`, text, 0o600);
  for (const [name, content] of Object.entries(initdata.data)) {
    // Those that guest components look for, and those that they name.
    if (name !== POLICY_KEY && PLAIN_NAME.test(name)) writeFile(`${directory}/${name}`, content, 0o600);
  }
  const sources = imageSources(fileOf(initdata, HUB_CONFIGURATION));
  if (sources !== undefined) writeFile(`${directory}/${IMAGE_SOURCES_FILE}`, JSON.stringify(sources), 0o600);
  return {
    digest: () => initdataDigest(initdata.algorithm, text),
    policy: fileOf(initdata, POLICY_KEY),
  };
}

/** Not one of the agent's own. */
const PLAIN_NAME = /^(?!initdata\.toml$|image\.json$)[\w][\w.-]{0,200}$/;

/** Source: the guest components' data hub, `[image]` of its configuration. */
function imageSources(configuration: string | undefined): ImageSources | undefined {
  if (configuration === undefined) return undefined;
  let image: unknown;
  try {
    ({ image } = parse(configuration));
  } catch (error) {
    throw new KataError("invalid-initdata", {
      operation: "read initdata",
      object: HUB_CONFIGURATION,
      hint: error instanceof Error ? (error.message.split("\n")[0] ?? "no TOML") : "no TOML",
      cause: error,
    });
  }
  if (typeof image !== "object" || image === null) return undefined;
  const text = (name: string) => {
    const value = (image as Readonly<Record<string, unknown>>)[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const credentials = text("authenticated_registry_credentials_uri");
  const policy = text("image_security_policy") ?? text("image_security_policy_uri");
  return {
    ...(credentials === undefined ? {} : { credentials }),
    ...(policy === undefined ? {} : { policy }),
  };
}

function fileOf({ data }: Initdata, name: string): string | undefined {
  return Object.hasOwn(data, name) ? data[name] : undefined;
}
