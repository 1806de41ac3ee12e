/** `inspect`: everything that is known of sandboxes, as JSON. */
import { checkId } from "../../sandbox/sandbox-paths.ts";
import { readTextFileIfExists } from "../../sys/files.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import type { ContainerDescription } from "./pod-description.ts";
import { readPod } from "./read-pods.ts";
import { findSandbox } from "./sandbox-directories.ts";

/** Of the annotations of a container, what it was made from. */
const IMAGES = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"];

/** @throws KataError `not-found` for a word that names no sandbox. */
export async function runInspect({ operands, output }: CommandContext): Promise<number> {
  const pods = await Promise.all(operands.map((word) => readPod(findSandbox(word))));
  const shown = pods.map(({ details, containers, ...pod }) => ({
    ...pod,
    ...details,
    containers: containers.map(withSpecification),
  }));
  output.data(`${JSON.stringify(shown, null, 2)}\n`);
  return EXIT_OK;
}

/** With what its bundle tells: the program, the image. */
function withSpecification(container: ContainerDescription) {
  const { bundle, id } = container;
  checkId(id);
  const text = bundle.startsWith("/") ? readTextFileIfExists(`${bundle}/config.json`) : undefined;
  if (text === undefined) return container;
  const specification = parse(text);
  const annotations = objectOf(specification.annotations);
  return {
    ...container,
    image: IMAGES.map((key) => annotations[key]).find((image) => typeof image === "string"),
    args: objectOf(specification.process).args,
    hostname: specification.hostname,
    annotations,
  };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return objectOf(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
