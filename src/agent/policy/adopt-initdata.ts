/**
 * Taking initdata over: it is checked, its files go where the guest's components look, and its policy is for the agent.
 *
 * Part of the extension. Source: upstream's agent.
 */
import {
  type Initdata,
  initdataDigest,
  POLICY_KEY,
  parseInitdata,
  unpackInitdata,
} from "../../policy/initdata/initdata.ts";
import { mkdirAll, writeFile } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";

export const INITDATA_DIRECTORY = "/run/confidential-containers/initdata";
/** The files that guest components look for. */
const FILES_FOR_GUEST = ["aa.toml", "cdh.toml"];

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
  for (const name of FILES_FOR_GUEST) {
    const content = fileOf(initdata, name);
    if (content !== undefined) writeFile(`${directory}/${name}`, content, 0o600);
  }
  return {
    digest: () => initdataDigest(initdata.algorithm, text),
    policy: fileOf(initdata, POLICY_KEY),
  };
}

function fileOf({ data }: Initdata, name: string): string | undefined {
  return Object.hasOwn(data, name) ? data[name] : undefined;
}
