/** Policies for tests: made from a pod's text by the whole command. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CommandHost } from "../command-host.ts";
import { runGenpolicy } from "../genpolicy.ts";
import { type Image, parseImageConfig } from "../image/image.ts";
import { openImages } from "../image/images.ts";
import { LayersCache } from "../image/layer.ts";
import { normalizedName, parseReference } from "../image/reference.ts";
import { imageBlobs, type TestImage } from "./image-layout.ts";

const RULES_FOLDER = join(import.meta.dirname, "../../rules");

export const RULES = readFileSync(join(RULES_FOLDER, "rules.rego"), "utf8");
export const SETTINGS = readFileSync(join(RULES_FOLDER, "genpolicy-settings.json"), "utf8");

export interface TestFiles {
  /** Files by path; what the command writes is put here too. */
  readonly files?: Record<string, string>;
  readonly input?: string;
  readonly images?: readonly TestImage[];
  /** Patches of the settings, RFC 6902. */
  readonly settingsPatch?: readonly unknown[];
  readonly rules?: string;
}

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs genpolicy on files in memory. */
export async function genpolicy(args: readonly string[], given: TestFiles = {}): Promise<Outcome> {
  const files = given.files ?? {};
  let stdout = "";
  let stderr = "";
  const host: CommandHost = {
    readFile: async (path) => {
      const text = files[path];
      if (text === undefined) throw new Error(`ENOENT: ${path}`);
      return text;
    },
    writeFile: async (path, text) => {
      files[path] = text;
    },
    readInput: async () => given.input ?? "",
    writeOut: async (text) => {
      stdout += text;
    },
    writeError: (text) => {
      stderr += text;
    },
    readSettings: async () => ({
      name: "settings",
      text: SETTINGS,
      patches: given.settingsPatch ? [{ name: "patch", text: JSON.stringify(given.settingsPatch) }] : [],
    }),
    readRules: async () => given.rules ?? RULES,
    openImages: async (_args, settings) => {
      const cache = await LayersCache.open(undefined);
      const source = memorySource(given.images ?? []);
      const note = (text: string) => {
        stderr += `${text}\n`;
      };
      return {
        images: openImages({ sources: [source], settings, cache, note, isOffline: true }),
        close: () => Promise.resolve(),
      };
    },
  };
  const status = await runGenpolicy(args, "0", host);
  return { status, stdout, stderr };
}

function memorySource(images: readonly TestImage[]) {
  const { blobs, manifests } = imageBlobs(images);
  const read = (digest: string) => {
    const bytes = blobs.get(digest);
    if (bytes === undefined) throw new Error(`no blob ${digest}`);
    return bytes;
  };
  return {
    name: "memory",
    isRemote: false,
    find: async (reference: ReturnType<typeof parseReference>) => {
      const { tag: _tag, digest: _digest, ...wanted } = reference;
      const found = manifests.find(({ name }) => {
        const { registry, repository } = parseReference(name);
        return registry === wanted.registry && repository === wanted.repository;
      });
      if (!found) return undefined;
      const manifest = JSON.parse(new TextDecoder().decode(read(found.digest)));
      return {
        manifest,
        config: new TextDecoder().decode(read(manifest.config.digest)),
        blob: async ({ digest }: { readonly digest: string }) => read(digest),
      };
    },
  };
}

/** The text of the policy for a pod, or an error with what the command said. */
export async function policyFor(pod: string, given: TestFiles = {}): Promise<string> {
  const { status, stdout, stderr } = await genpolicy(["-r"], { ...given, input: pod });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

/** An image as the container builders get it. */
export function imageOf(
  name: string,
  config: object,
  files: { readonly passwd?: string; readonly group?: string } = {},
): Image {
  const reference = parseReference(name);
  const text = JSON.stringify({ config, rootfs: { diff_ids: [] } });
  return {
    reference,
    config: parseImageConfig(text, normalizedName(reference)),
    layerHashes: [],
    passwd: files.passwd ?? "",
    group: files.group ?? "",
  };
}
