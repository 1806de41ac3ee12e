/** Where the configuration is looked for. */

/** Which of upstream's runtimes we stand in for: they look in different places, in another order. */
export type Flavour = "go" | "rs";

const DEFAULTS: Readonly<Record<Flavour, readonly string[]>> = {
  go: ["/etc/kata-containers/configuration.toml", "/usr/share/defaults/kata-containers/configuration.toml"],
  rs: [
    "/etc/kata-containers/runtime-rs/configuration.toml",
    "/usr/share/defaults/kata-containers/runtime-rs/configuration.toml",
    "/opt/kata/share/defaults/kata-containers/runtime-rs/configuration.toml",
  ],
};

/** Where packages and administrators put configuration. */
const SHIPPED_DIRECTORIES = [
  "/etc/kata-containers/",
  "/usr/share/defaults/kata-containers/",
  "/opt/kata/share/defaults/kata-containers/",
];

export interface PathRequest {
  /** `ConfigPath` of the task's options, or the command line. */
  readonly option?: string;
  /** `KATA_CONF_FILE`. */
  readonly environment?: string;
  readonly flavour?: Flavour;
}

/** Paths to try: the first that exists counts. One that was asked for is the only one. */
export function configurationPaths({
  option = "",
  environment = "",
  flavour = "go",
}: PathRequest): readonly string[] {
  if (option !== "" && (flavour === "go" || environment === "")) return [option];
  return environment === "" ? DEFAULTS[flavour] : [environment];
}

/**
 * Whether `path` is in a place for configuration. Of a file elsewhere that the environment names, the reader has to make sure
 * that nobody but root can change it: whoever sets a variable shall not choose what the host runs.
 */
export function isShippedLocation(path: string): boolean {
  return (
    !path.split("/").includes("..") && SHIPPED_DIRECTORIES.some((directory) => path.startsWith(directory))
  );
}

/** The directory of the drop-ins for a main file, whose path has no links: its `*.toml` are read in the order of names. */
export function dropInDirectory(mainFile: string): string {
  return `${mainFile.slice(0, mainFile.lastIndexOf("/") + 1)}config.d`;
}
