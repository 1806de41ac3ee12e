/** The command line of the image builder. */
import { nearestName } from "../config/nearest-name.ts";
import { KataError } from "../kata-error.ts";

/** Architectures of guests, as Linux names them. */
export const GUEST_ARCHITECTURES = ["x86_64", "aarch64"] as const;

export type GuestArchitecture = (typeof GUEST_ARCHITECTURES)[number];

export const OWN_ARCHITECTURE: GuestArchitecture = process.arch === "arm64" ? "aarch64" : "x86_64";

export interface ImageOptions {
  /** Of the guest; of another one than this machine's, the agent was built with `npm run build -- --arch`. */
  readonly architecture: GuestArchitecture;
  /** The agent's binary. */
  readonly agent: string;
  /** Directory for the kernel, the initial file system and the manifest. */
  readonly output: string;
  readonly debugShell: boolean;
  /** Compile the kernel for containers instead of taking Debian's for clouds. */
  readonly containerKernel: boolean;
  /** The policy that every guest begins with: the name of a default one, or a file; undefined for none. */
  readonly policy?: string;
  /** File with the certificates by which a guest knows registries; undefined for none. */
  readonly authorities?: string;
  /** Make a root disk that the kernel checks, and what opens it. */
  readonly verity: boolean;
  /** Print the manifest on stdout instead of lines for people. */
  readonly json: boolean;
  /** Build even if nothing has changed. */
  readonly force: boolean;
}

export type ImageCommand = { readonly do: "help" } | { readonly do: "build"; readonly options: ImageOptions };

export const DEFAULT_OPTIONS: ImageOptions = {
  architecture: OWN_ARCHITECTURE,
  agent: "build/bin/kata-agent",
  output: "build/image",
  debugShell: false,
  containerKernel: false,
  verity: false,
  json: false,
  force: false,
};

export const USAGE = `Usage: npm run image -- [OPTION]...

Builds the guest's kernel and initial file system from Debian's cloud kernel and our agent. Equal inputs give equal
bytes; nothing is done if they have not changed.

  npm run image
  npm run image -- --debug-shell --output /tmp/guest
  npm run image -- --arch aarch64
  npm run image -- --verity

      --arch ARCH      of the guest: ${GUEST_ARCHITECTURES.join(" or ")}; for another than this machine's, agent and
                       output are build/ARCH/bin/kata-agent and build/image-ARCH if nothing else is said
      --agent PATH     the agent, a static binary (${DEFAULT_OPTIONS.agent})
      --output DIR     where to write (${DEFAULT_OPTIONS.output}): vmlinuz, vmlinux, initrd, manifest.json
      --policy POLICY  the policy that every guest begins with: a file, or allow-all, allow-all-except-exec-process,
                       allow-set-policy, deny-all; without it all is allowed until a pod brings its own
      --authorities F  the certificates, PEM, by which a guest that pulls images itself knows registries; without them
                       it pulls from those that agent.image_insecure_registries names
      --verity         write a root disk that the kernel checks by dm-verity, too: image, what opens it: initrd-verity,
                       and what to set kernel_verity_params to: verity-params
      --debug-shell    add a shell, for agent.debug_console; not for production
      --kernel         compile a kernel for containers from Debian's linux-source, once, instead of taking Debian's for clouds: it
                       boots sooner and needs less memory
      --force          build even if nothing has changed
      --json           print the manifest on stdout
  -h, --help           print this help
`;

const SWITCHES = {
  "--debug-shell": "debugShell",
  "--kernel": "containerKernel",
  "--force": "force",
  "--json": "json",
  "--verity": "verity",
} as const;
const VALUES = {
  "--arch": "architecture",
  "--agent": "agent",
  "--output": "output",
  "--policy": "policy",
  "--authorities": "authorities",
} as const;

/** @throws KataError `invalid-argument` for an argument that it does not know, or a flag without its value. */
export function parseArguments(args: readonly string[]): ImageCommand {
  const options: { -readonly [K in keyof ImageOptions]: ImageOptions[K] } = { ...defaultsFor(args) };
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? "";
    if (argument === "-h" || argument === "--help") return { do: "help" };
    const [flag = "", inline] = argument.startsWith("--") ? splitOnce(argument) : [argument];
    if (isKey(SWITCHES, flag) && inline === undefined) {
      options[SWITCHES[flag]] = true;
    } else if (isKey(VALUES, flag)) {
      const value = inline ?? args[++index];
      if (value === undefined || value === "") throw invalid(`${flag} needs a value`);
      const name = VALUES[flag];
      // Looked at before all others.
      if (name !== "architecture") options[name] = value;
    } else {
      const nearest = nearestName(flag, [...Object.keys(SWITCHES), ...Object.keys(VALUES), "--help"]);
      throw invalid(argument, nearest === undefined ? "see --help" : `did you mean ${nearest}?`);
    }
  }
  return { do: "build", options };
}

/** What holds for the architecture that `args` name. */
function defaultsFor(args: readonly string[]): ImageOptions {
  const at = args.findLastIndex((argument) => argument === "--arch" || argument.startsWith("--arch="));
  if (at < 0) return DEFAULT_OPTIONS;
  const wanted = splitOnce(args[at] ?? "")[1] ?? args[at + 1] ?? "";
  const architecture = GUEST_ARCHITECTURES.find((name) => name === wanted);
  if (architecture === undefined)
    throw invalid(`--arch ${wanted}`, `it is ${GUEST_ARCHITECTURES.join(" or ")}`);
  if (architecture === OWN_ARCHITECTURE) return DEFAULT_OPTIONS;
  return {
    ...DEFAULT_OPTIONS,
    architecture,
    agent: `build/${architecture}/bin/kata-agent`,
    output: `build/image-${architecture}`,
  };
}

function splitOnce(argument: string): [string, string?] {
  const equals = argument.indexOf("=");
  return equals < 0 ? [argument] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

function isKey<T extends object>(table: T, key: string): key is keyof T & string {
  return Object.hasOwn(table, key);
}

function invalid(object: string, hint?: string): KataError {
  return new KataError("invalid-argument", { operation: "read arguments", object, hint });
}
