/** The command line of kata-snapshotter; under the name tardev-snapshotter it is AKS's. */
import { KataError } from "../kata-error.ts";
import type { LayerFormat } from "../policy/layers/layer-disk.ts";

export interface SnapshotterOptions {
  readonly root: string;
  /** Where it listens. */
  readonly socket: string;
  /** containerd's. */
  readonly containerd: string;
  readonly format: LayerFormat;
}

export type SnapshotterCommand =
  | { readonly do: "help" }
  | { readonly do: "serve"; readonly options: SnapshotterOptions };

const DEFAULT_CONTAINERD = "/var/run/containerd/containerd.sock";

export const HELP = `kata-snapshotter makes read-only disks of the layers of images, which guests check against the root hashes in
their policies. containerd asks it for snapshots (a proxy plugin of type "snapshot").

Usage:
  kata-snapshotter [--format erofs|tar] ROOT SOCKET [CONTAINERD-SOCKET]

  ROOT                where layers are kept: /var/lib/containerd/io.containerd.snapshotter.v1.kata
  SOCKET              where it listens: /run/containerd/kata-snapshotter.sock
  CONTAINERD-SOCKET   where containerd does (${DEFAULT_CONTAINERD})
  --format FORMAT     what the layers are as disks: erofs, which every kernel mounts (image_layer_verification
                      "host-erofs-dm-verity" of genpolicy), or tar, for guests with AKS's kernel and policies of
                      az confcom ("host-tarfs-dm-verity"). As tardev-snapshotter it is tar, otherwise erofs

Example:
  kata-snapshotter /var/lib/containerd/io.containerd.snapshotter.v1.kata /run/containerd/kata-snapshotter.sock
`;

/** @param name the program's, as it was called. @throws KataError `invalid-argument`. */
export function parseArguments(name: string, args: readonly string[]): SnapshotterCommand {
  let format: LayerFormat = name === "tardev-snapshotter" ? "tar" : "erofs";
  const operands: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? "";
    if (argument === "-h" || argument === "--help") return { do: "help" };
    if (argument === "--format" || argument.startsWith("--format=")) {
      const value = argument === "--format" ? args[++index] : argument.slice("--format=".length);
      if (value !== "erofs" && value !== "tar")
        throw invalid(`--format ${value ?? ""}`, "it is erofs or tar");
      format = value;
    } else if (argument.startsWith("-")) throw invalid(argument, "see --help");
    else operands.push(argument);
  }
  const [root, socket, containerd = DEFAULT_CONTAINERD, ...others] = operands;
  if (root === undefined || socket === undefined || others.length > 0) {
    throw invalid(
      `${operands.length} operands`,
      `Usage: ${name} <data-root-path> <listen-socket-name> [containerd-socket]`,
    );
  }
  return { do: "serve", options: { root, socket, containerd, format } };
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read arguments", object, hint });
}
