/** What is known of containerd on the host. */
import { KataError } from "../../kata-error.ts";
import { existsIn, type HostRoot, namesIn, textIn } from "../host/host-root.ts";
import {
  type ContainerdConfiguration,
  mergeContainerdConfigurations,
  parseContainerdConfiguration,
} from "./containerd-configuration.ts";

export interface ContainerdFacts {
  readonly configurationFile: string;
  readonly configuration:
    | {
        readonly kind: "read";
        readonly value: ContainerdConfiguration;
        /** Configuration files of Kata that it names and that are not there. */
        readonly missingConfigPaths: ReadonlySet<string>;
      }
    | { readonly kind: "missing" }
    | { readonly kind: "wrong"; readonly error: KataError };
  readonly socket: string;
  /** Undefined where it cannot be told: a copied tree has no sockets. */
  readonly hasSocket: boolean | undefined;
}

/** Files that one `imports` is expected to stand for at most. */
const MAX_IMPORTS = 256;

export function gatherContainerdFacts(
  host: HostRoot,
  configurationFile: string,
  socket: string,
): ContainerdFacts {
  const base = {
    configurationFile,
    socket,
    hasSocket: host.directory === undefined ? existsIn(host, socket) : undefined,
  };
  try {
    const text = textIn(host, configurationFile);
    if (text === undefined) return { ...base, configuration: { kind: "missing" } };
    const main = parseContainerdConfiguration(text, configurationFile);
    const imported = main.imports
      .flatMap((pattern) => expand(host, configurationFile, pattern))
      .slice(0, MAX_IMPORTS)
      .map((path) => parseContainerdConfiguration(textIn(host, path) ?? "", path));
    const value = mergeContainerdConfigurations([main, ...imported]);
    const named = value.runtimes.map(({ configPath }) => configPath).filter((path) => path !== "");
    const missing = new Set(named.filter((path) => !existsIn(host, path)));
    return { ...base, configuration: { kind: "read", value, missingConfigPaths: missing } };
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    return { ...base, configuration: { kind: "wrong", error } };
  }
}

/** Paths of an import: absolute or beside the file, with `*` in the last part. */
function expand(host: HostRoot, file: string, pattern: string): string[] {
  const path = pattern.startsWith("/") ? pattern : `${file.slice(0, file.lastIndexOf("/") + 1)}${pattern}`;
  if (!path.includes("*")) return [path];
  const slash = path.lastIndexOf("/");
  const [before = "", after = ""] = path.slice(slash + 1).split("*");
  return namesIn(host, path.slice(0, slash))
    .filter((name) => name.startsWith(before) && name.endsWith(after))
    .sort()
    .map((name) => `${path.slice(0, slash)}/${name}`);
}
