/** The layers that the options of a mount name. Source: as in arguments.ts. */
import { decodeBase64 } from "../crypto/base64.ts";
import { KataError } from "../kata-error.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";

const OPTION = "io.katacontainers.fs-opt.";
const PREFIX = `${OPTION}layer-src-prefix=`;
const LAYER = `${OPTION}layer=`;
/** What starts so is for the runtime and the guest. */
const NOT_FOR_MOUNT = "io.katacontainers.";

export interface Layer {
  readonly source: string;
  readonly filesystem: string;
  /** Options for mount(8), separated by commas. */
  readonly options: string;
}

/** The layers in their order, the top one first. @throws KataError `invalid-argument`. */
export function layersOf(options: readonly string[]): Layer[] {
  let prefix = "";
  const layers: Layer[] = [];
  for (const option of options) {
    if (option.startsWith(PREFIX)) prefix = option.slice(PREFIX.length);
    else if (option.startsWith(LAYER)) layers.push(parseLayer(option.slice(LAYER.length), prefix));
  }
  return layers;
}

function parseLayer(encoded: string, prefix: string): Layer {
  const bytes = decodeBase64(encoded, false, "required");
  if (bytes === undefined) throw invalid("Invalid base64");
  const text = utf8Decode(bytes);
  if (utf8Encode(text).some((byte, at) => byte !== bytes[at])) throw invalid("invalid utf-8 sequence");
  const [source = "", filesystem, ...rest] = text.split(",");
  if (filesystem === undefined) throw invalid(`Missing filesystem type from ${text}`);
  return {
    source: source.startsWith("/") || prefix === "" ? source : `${prefix.replace(/\/$/, "")}/${source}`,
    filesystem,
    options: rest.filter((option) => !option.startsWith(NOT_FOR_MOUNT)).join(","),
  };
}

function invalid(why: string): KataError {
  return new KataError("invalid-argument", { operation: "read layer", object: why });
}
