/** What a template was made from, and what its files looked like then. The file may be anything: it is checked when it is read. */

/** A file as it was when it was finished: who changes it changes one of these. */
export interface SavedFile {
  readonly inode: number;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since 1970, with fractions. */
  readonly modifiedAt: number;
}

export interface TemplateManifest {
  readonly version: 1;
  /** Everything that the machine depends on. */
  readonly fingerprint: string;
  readonly memoryMib: number;
  /** Milliseconds since 1970. */
  readonly madeAt: number;
  readonly memory: SavedFile;
  readonly state: SavedFile;
}

export function formatManifest(manifest: TemplateManifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

/** @returns undefined if `text` is no manifest of this version. */
export function parseManifest(text: string): TemplateManifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (!isRecord(value) || value.version !== 1) return undefined;
  const { fingerprint, memoryMib, madeAt, memory, state } = value;
  if (typeof fingerprint !== "string" || typeof memoryMib !== "number" || typeof madeAt !== "number")
    return undefined;
  if (!isSavedFile(memory) || !isSavedFile(state)) return undefined;
  return { version: 1, fingerprint, memoryMib, madeAt, memory, state };
}

function isSavedFile(value: unknown): value is SavedFile {
  if (!isRecord(value)) return false;
  return [value.inode, value.size, value.modifiedAt].every((number) => typeof number === "number");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
