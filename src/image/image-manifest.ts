/** `manifest.json` beside the guest's kernel: what was made from what, so that equal work is not done again. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { LoadMoment } from "./guest-modules.ts";
import type { KernelIdentity } from "./kernel-source.ts";

export const MANIFEST_FILE = "manifest.json";

export interface OutputFile {
  /** In the directory of the manifest. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ImageManifest {
  /** Of all that the outputs depend on, the builder included. */
  readonly inputs: string;
  /** Debian's name. */
  readonly architecture: string;
  readonly kernel: KernelIdentity;
  readonly agent: { readonly bytes: number; readonly sha256: string };
  readonly debugShell: boolean;
  readonly outputs: readonly OutputFile[];
  /** In the order of `modules.dep`; `dependency` for those that no list names. */
  readonly modules: readonly {
    readonly name: string;
    readonly load: LoadMoment | "dependency";
    readonly bytes: number;
  }[];
}

/**
 * The manifest in `directory`, if it was made from `inputs` and every output is there unharmed.
 * Whatever is wrong with it, it is only a reason to build again.
 */
export async function currentManifest(directory: string, inputs: string): Promise<ImageManifest | undefined> {
  try {
    const manifest = JSON.parse(await readFile(join(directory, MANIFEST_FILE), "utf8")) as ImageManifest;
    if (manifest.inputs !== inputs) return undefined;
    for (const output of manifest.outputs) {
      if (sha256(await readFile(join(directory, output.name))) !== output.sha256) return undefined;
    }
    return manifest;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError || isMissing(error)) return undefined;
    throw error;
  }
}

/** Hexadecimal SHA-256 of `parts`, one after the other. */
export function sha256(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
