/** genpolicy's surroundings under Node. */
import { readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { GenerateArguments } from "./arguments.ts";
import type { CommandHost } from "./command-host.ts";
import { Containerd } from "./image/containerd.ts";
import { DockerCredentials } from "./image/credentials.ts";
import type { ImageSource } from "./image/image.ts";
import { openImages } from "./image/images.ts";
import { LayersCache } from "./image/layer.ts";
import { OciLayout } from "./image/oci-layout.ts";
import { Registry } from "./image/registry.ts";
import type { Settings, SettingsSource } from "./settings.ts";

const SETTINGS_FILE = "genpolicy-settings.json";
const DROP_INS = "genpolicy-settings.d";
const RULES_FILE = "rules.rego";

export interface BuiltIn {
  readonly rules: string;
  readonly settings: string;
}

export function nodeHost(builtIn: BuiltIn): CommandHost {
  const writeError = (text: string) => void process.stderr.write(text);
  return {
    readFile: (path) => readFile(path, "utf8"),
    writeFile: replaceFile,
    readInput,
    writeOut,
    writeError,
    readSettings: async (path) => {
      if (path !== undefined) return settingsAt(path);
      if (await exists(SETTINGS_FILE)) return settingsAt(SETTINGS_FILE);
      return { name: "built-in settings", text: builtIn.settings, patches: [] };
    },
    readRules: async (path) => {
      if (path !== undefined) return readFile(path, "utf8");
      return (await exists(RULES_FILE)) ? readFile(RULES_FILE, "utf8") : builtIn.rules;
    },
    openImages: (args, settings) => nodeImages(args, settings, (text) => writeError(`genpolicy: ${text}\n`)),
  };
}

async function nodeImages(args: GenerateArguments, settings: Settings, note: (text: string) => void) {
  const cache = await LayersCache.open(args.layersCache);
  const sources: ImageSource[] = [];
  for (const directory of args.ociLayouts) sources.push(await OciLayout.open(directory));
  const containerd = args.containerdSocket === undefined ? undefined : new Containerd(args.containerdSocket);
  if (containerd) sources.push(containerd);
  else sources.push(registryOf(args));
  const images = openImages({ sources, settings, cache, note, isOffline: args.ociLayouts.length > 0 });
  const close = async () => {
    containerd?.close();
    await cache.save();
  };
  return { images, close };
}

function registryOf(args: GenerateArguments): Registry {
  const mirrors = new Map<string, string[]>();
  for (const mirror of args.mirrors) {
    const [registry = "", host = ""] = mirror.split("=");
    mirrors.set(registry, [...(mirrors.get(registry) ?? []), host]);
  }
  return new Registry({
    credentials: new DockerCredentials(),
    insecure: args.insecureRegistries,
    mirrors,
    fetch,
  });
}

/** The settings at `path`: a file, or a directory with a file and drop-ins in the order of their names. */
async function settingsAt(path: string): Promise<SettingsSource> {
  const isDirectory = (await stat(path)).isDirectory();
  const file = isDirectory ? join(path, SETTINGS_FILE) : path;
  const text = await readFile(file, "utf8");
  if (!isDirectory) return { name: file, text, patches: [] };
  const directory = join(path, DROP_INS);
  const names = (await exists(directory)) ? await readdir(directory) : [];
  const patches = names
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map(async (name) => ({
      name: join(directory, name),
      text: await readFile(join(directory, name), "utf8"),
    }));
  return { name: file, text, patches: await Promise.all(patches) };
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

/** Writes a file at once: one who reads it sees the old or the new text. */
async function replaceFile(path: string, text: string): Promise<void> {
  const { mode } = await stat(path);
  const unfinished = `${path}.${process.pid}`;
  await writeFile(unfinished, text, { mode });
  await rename(unfinished, path);
}

async function readInput(): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** Resolves when the text is handed over, so that an exit does not cut it. */
function writeOut(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
