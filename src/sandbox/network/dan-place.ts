/** Where a description of a sandbox's devices lies; what is in it is read by those that have one. */
import { exists } from "../../sys/files.ts";

/** The description of a sandbox's devices, if somebody has written one. */
export function danFile(directory: string, id: string): string | undefined {
  if (directory === "") return undefined;
  const path = `${directory}/${id}.json`;
  return exists(path) ? path : undefined;
}
