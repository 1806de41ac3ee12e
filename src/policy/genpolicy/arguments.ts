/** The command line of genpolicy, upstream's with additions. */
import { KataError } from "../../kata-error.ts";

export interface GenerateArguments {
  /** Read and written; absent: standard input to standard output. */
  readonly yamlFile: string | undefined;
  /** Files with ConfigMaps and Secrets. */
  readonly configFiles: readonly string[];
  readonly rulesPath: string | undefined;
  readonly settingsPath: string | undefined;
  readonly layersCache: string | undefined;
  readonly rawOut: boolean;
  readonly base64Out: boolean;
  readonly lenient: boolean;
  readonly containerdSocket: string | undefined;
  readonly insecureRegistries: readonly string[];
  /** `from=to`: images of registry `from` are asked of `to` first. */
  readonly mirrors: readonly string[];
  readonly runtimeClasses: readonly string[];
  readonly initdataPath: string | undefined;
  readonly ociLayouts: readonly string[];
  /** The annotation that carries the policy: `initdata` as upstream, `policy` as Azure's. */
  readonly annotation: "initdata" | "policy";
}

interface OptionSpec {
  readonly short?: string;
  readonly kind: "flag" | "value" | "optional" | "list";
  /** What an optional value is if it is left out. */
  readonly missing?: string;
}

/** Options by their long names. An optional value needs `=`, as its absence would be ambiguous. */
const OPTIONS: Readonly<Record<string, OptionSpec>> = {
  "yaml-file": { short: "y", kind: "value" },
  "config-map-file": { short: "c", kind: "list" },
  "config-file": { kind: "list" },
  "rego-rules-path": { short: "p", kind: "value" },
  "json-settings-path": { short: "j", kind: "value" },
  "use-cached-files": { short: "u", kind: "flag" },
  "layers-cache-file-path": { kind: "optional", missing: "layers-cache.json" },
  "raw-out": { short: "r", kind: "flag" },
  "base64-out": { short: "b", kind: "flag" },
  "silent-unsupported-fields": { short: "s", kind: "flag" },
  "containerd-socket-path": {
    short: "d",
    kind: "optional",
    missing: "/var/run/containerd/containerd.sock",
  },
  "insecure-registry": { kind: "list" },
  "registry-mirror": { kind: "list" },
  "runtime-class-names": { kind: "list" },
  "initdata-path": { kind: "value" },
  "oci-layout": { kind: "list" },
  "policy-annotation": { kind: "flag" },
  policy: { kind: "value" },
  requests: { kind: "value" },
  version: { short: "v", kind: "flag" },
  help: { short: "h", kind: "flag" },
};

/** Options of `az confcom katapolicygen` that have other names or letters there. */
const AZURE_NAMES: Readonly<Record<string, string>> = {
  yaml: "yaml-file",
  outraw: "raw-out",
  "print-policy": "base64-out",
  "settings-file-name": "json-settings-path",
  "rules-file-name": "rego-rules-path",
  "print-version": "version",
  "containerd-pull": "containerd-socket-path",
};

/** Where `-u` keeps hashes of layers. */
const USUAL_LAYERS_CACHE = "./layers-cache.json";

export class OptionValues {
  private readonly values = new Map<string, string[]>();

  add(name: string, value: string): void {
    this.values.set(name, [...(this.values.get(name) ?? []), value]);
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  all(name: string): readonly string[] {
    return this.values.get(name) ?? [];
  }

  last(name: string): string | undefined {
    return this.values.get(name)?.at(-1);
  }
}

/**
 * Splits arguments into options: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, and letters of flags
 * together.
 *
 * @throws KataError `invalid-argument` with the nearest option's name.
 */
export function parseOptions(args: readonly string[], isAzure = false): OptionValues {
  const values = new OptionValues();
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg.startsWith("--")) {
      const [given = "", inline] = splitOnce(arg.slice(2));
      const name = isAzure ? (AZURE_NAMES[given] ?? given) : given;
      const option = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
      if (!option) throw unknown(arg);
      take(name, option, inline, rest, values, isAzure);
    } else if (arg.startsWith("-") && arg.length > 1) {
      parseShort(arg, rest, values, isAzure);
    } else {
      throw new KataError("invalid-argument", {
        operation: "read arguments",
        object: arg,
        hint: "an option was expected",
      });
    }
  }
  return values;
}

function parseShort(arg: string, rest: string[], values: OptionValues, isAzure: boolean): void {
  for (let i = 1; i < arg.length; i++) {
    const letter = arg[i];
    const [name, option] = Object.entries(OPTIONS).find(([, { short }]) => short === letter) ?? [];
    if (name === undefined || option === undefined) throw unknown(arg);
    const tail = arg.slice(i + 1);
    if (option.kind === "flag") {
      values.add(name, "");
      continue;
    }
    const needsEquals = option.kind === "optional" && tail !== "" && !tail.startsWith("=");
    if (needsEquals) {
      values.add(name, option.missing ?? "");
      continue;
    }
    take(name, option, tail === "" ? undefined : tail.replace(/^=/, ""), rest, values, isAzure);
    return;
  }
}

function take(
  name: string,
  option: OptionSpec,
  inline: string | undefined,
  rest: string[],
  values: OptionValues,
  isAzure: boolean,
): void {
  if (option.kind === "flag") {
    if (inline !== undefined) throw wrong(`--${name}=${inline}`, "this option takes no value");
    values.add(name, "");
  } else if (inline !== undefined) {
    values.add(name, inline);
  } else if (option.kind === "optional") {
    // Azure's command has a flag and a path apart, so that a path may follow.
    const isPath = isAzure && rest[0] !== undefined && !rest[0].startsWith("-");
    values.add(name, (isPath ? rest.shift() : option.missing) ?? "");
  } else {
    // Azure's command takes several files after one --config-map-file.
    const value = rest.shift();
    if (value === undefined) throw wrong(`--${name}`, "a value follows this option");
    values.add(name, value);
    while (isAzure && option.kind === "list" && rest[0] !== undefined && !rest[0].startsWith("-")) {
      values.add(name, rest.shift() ?? "");
    }
  }
}

/** @throws KataError `invalid-argument` for mirrors that are no pairs. */
export function generateArguments(values: OptionValues, isAzure: boolean): GenerateArguments {
  const cache = values.has("use-cached-files") ? USUAL_LAYERS_CACHE : values.last("layers-cache-file-path");
  for (const mirror of values.all("registry-mirror")) {
    if (!/^[^=]+=[^=]+$/.test(mirror)) throw wrong(`--registry-mirror ${mirror}`, "it is REGISTRY=MIRROR");
  }
  return {
    yamlFile: values.last("yaml-file"),
    configFiles: [...values.all("config-map-file"), ...values.all("config-file")],
    rulesPath: values.last("rego-rules-path"),
    settingsPath: values.last("json-settings-path"),
    layersCache: cache,
    rawOut: values.has("raw-out"),
    base64Out: values.has("base64-out"),
    lenient: values.has("silent-unsupported-fields"),
    containerdSocket: values.last("containerd-socket-path"),
    insecureRegistries: values.all("insecure-registry"),
    mirrors: values.all("registry-mirror"),
    runtimeClasses: values.all("runtime-class-names"),
    initdataPath: values.last("initdata-path"),
    ociLayouts: values.all("oci-layout"),
    annotation: isAzure || values.has("policy-annotation") ? "policy" : "initdata",
  };
}

function splitOnce(text: string): [name: string, value: string | undefined] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)];
}

function unknown(arg: string): KataError {
  const [given] = splitOnce(arg.replace(/^-+/, ""));
  const [nearest] = Object.keys(OPTIONS)
    .map((name) => ({ name, distance: editDistance(given, name) }))
    .sort((a, b) => a.distance - b.distance);
  const isNear = nearest !== undefined && nearest.distance <= Math.max(2, given.length / 3);
  return wrong(arg, isNear ? `did you mean --${nearest.name}?` : "genpolicy --help lists the options");
}

/** Source: Levenshtein distance by rows. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function wrong(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read arguments", object, hint });
}
