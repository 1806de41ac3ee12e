/** Overlays of many layers, whose options would not fit into the page that the kernel has for them. */
import { KataError } from "../../kata-error.ts";

const MAX_DATA_BYTES = 4095;

export interface ShortOverlay {
  /** The working directory from which {@link options} hold. */
  readonly directory: string;
  readonly options: readonly string[];
}

/**
 * The options with the layers' paths relative to the directory that they have in common.
 *
 * @throws KataError `invalid-argument` if they still do not fit.
 */
export function shortenOverlay(options: readonly string[]): ShortOverlay {
  const lower = options.find((option) => option.startsWith("lowerdir="));
  const layers = lower?.slice("lowerdir=".length).split(":") ?? [];
  const directory = commonDirectory(layers);
  const relative = layers.map((layer) => layer.slice(directory.length));
  const short = options.map((option) => (option === lower ? `lowerdir=${relative.join(":")}` : option));
  const bytes = short.join(",").length;
  if (directory === "" || bytes > MAX_DATA_BYTES) {
    throw new KataError("invalid-argument", {
      operation: "mount root filesystem",
      object: `an overlay of ${layers.length} layers needs ${bytes} bytes of options`,
      hint: "build the image with fewer layers",
    });
  }
  return { directory, options: short };
}

/** The longest directory, with its slash, in which all of `paths` lie; empty if there is none. */
function commonDirectory(paths: readonly string[]): string {
  const [first = "", ...others] = paths;
  let end = first.lastIndexOf("/") + 1;
  for (const path of others) {
    while (end > 0 && !path.startsWith(first.slice(0, end))) end = first.lastIndexOf("/", end - 2) + 1;
  }
  return first.slice(0, end);
}
