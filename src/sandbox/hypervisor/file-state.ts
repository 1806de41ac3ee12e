/** The files that a saved machine depends on. */
import { stat } from "../../sys/files.ts";

/** What changes with a file's content, without reading it. */
export function fileState(path: string): string {
  const { onMajor, onMinor, inode, size, modifiedAt } = stat(path);
  return `${path} ${onMajor}:${onMinor}/${inode} ${size} ${modifiedAt}`;
}
