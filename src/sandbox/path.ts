/** Paths as text; nothing here asks the kernel. */

export function isAbsolute(path: string): boolean {
  return path.startsWith("/");
}

/** `path` below `directory`, with one slash between. */
export function joinPath(directory: string, path: string): string {
  return `${directory.replace(/\/+$/, "")}/${path.replace(/^\/+/, "")}`;
}

/** The last component. */
export function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, "");
  return trimmed.slice(trimmed.lastIndexOf("/") + 1);
}
