/**
 * What containerd's configuration says of runtimes, in the versions 2 and 3 of its format.
 * Source: containerd/containerd docs/cri/config.md, docs/man/containerd-config.toml.5.md.
 */
import { parse, TomlError } from "smol-toml";
import { at, isObject, listAt, textAt } from "../../azure/foreign.ts";
import { KataError } from "../../kata-error.ts";

export interface ContainerdRuntime {
  readonly name: string;
  /** `io.containerd.kata.v2` */
  readonly type: string;
  /** Empty if it has none of its own. */
  readonly snapshotter: string;
  /** Kata's configuration file; empty for the one that counts anyway. */
  readonly configPath: string;
  /** Privileged containers do not get the host's devices. */
  readonly withoutHostDevices: boolean;
}

export interface ContainerdConfiguration {
  /** Of the format. */
  readonly version: number;
  readonly runtimes: readonly ContainerdRuntime[];
  readonly defaultSnapshotter: string;
  readonly disabledPlugins: readonly string[];
  /** Files that it wants to be read besides. */
  readonly imports: readonly string[];
}

/** Deepest nesting of inline values. */
const MAX_DEPTH = 16;
/** The plugin that runs pods: version 2, and 3. */
const CRI_PLUGINS = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"];
const IMAGE_PLUGIN = "io.containerd.cri.v1.images";

/** @throws KataError `invalid-configuration` for text that is no TOML. */
export function parseContainerdConfiguration(text: string, name: string): ContainerdConfiguration {
  const tree = readToml(text, name);
  const plugins = CRI_PLUGINS.map((plugin) => at(tree, "plugins", plugin, "containerd"));
  const runtimes = plugins.flatMap((plugin) => {
    const found = at(plugin, "runtimes");
    return isObject(found) ? Object.entries(found).map(([each, value]) => readRuntime(each, value)) : [];
  });
  const snapshotters = [...plugins, at(tree, "plugins", IMAGE_PLUGIN)].map((each) =>
    textAt(each, "snapshotter"),
  );
  const texts = (value: readonly unknown[]) => value.filter((each) => typeof each === "string");
  const version = at(tree, "version");
  return {
    version: typeof version === "number" ? version : 1,
    runtimes,
    defaultSnapshotter: snapshotters.find((each) => each !== "") ?? "",
    disabledPlugins: texts(listAt(tree, "disabled_plugins")),
    imports: texts(listAt(tree, "imports")),
  };
}

function readToml(text: string, name: string): unknown {
  try {
    return parse(text, { maxDepth: MAX_DEPTH, unsafeKeyBehaviour: "throw" });
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    throw new KataError("invalid-configuration", {
      operation: "read containerd's configuration",
      object: `${name}:${cause.line}:${cause.column}`,
      hint: cause.message.split("\n")[0]?.replace(/^Invalid TOML document: /, ""),
      cause,
    });
  }
}

function readRuntime(name: string, value: unknown): ContainerdRuntime {
  return {
    name,
    type: textAt(value, "runtime_type"),
    snapshotter: textAt(value, "snapshotter"),
    configPath: textAt(value, "options", "ConfigPath"),
    withoutHostDevices: at(value, "privileged_without_host_devices") === true,
  };
}

/** What several files amount to: a later one's runtime stands in the place of an earlier one's of that name. */
export function mergeContainerdConfigurations(
  all: readonly ContainerdConfiguration[],
): ContainerdConfiguration {
  const runtimes = new Map(all.flatMap((each) => each.runtimes.map((runtime) => [runtime.name, runtime])));
  return {
    version: all[0]?.version ?? 1,
    runtimes: [...runtimes.values()],
    defaultSnapshotter: all.findLast((each) => each.defaultSnapshotter !== "")?.defaultSnapshotter ?? "",
    disabledPlugins: all.flatMap((each) => each.disabledPlugins),
    imports: all.flatMap((each) => each.imports),
  };
}
