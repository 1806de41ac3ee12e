/** What a policy needs to know of an image. */
import { Node } from "../json.ts";
import type { ImageReference } from "./reference.ts";

/** The part of an image's configuration that the container manager makes a process of. Source: OCI image-spec, config.md. */
export interface ImageConfig {
  /** `user`, `uid`, `user:group` or empty. */
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly volumes: readonly string[];
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[];
}

export interface Image {
  readonly reference: ImageReference;
  readonly config: ImageConfig;
  /** Root hashes of the layers with their indexes, lowest first; only if the policy binds layers. */
  readonly layerHashes: readonly string[];
  /** The root file system's files of users and groups, empty if they are not there or not known. */
  readonly passwd: string;
  readonly group: string;
}

/** A place where images are found. */
export interface ImageSource {
  /** For messages. */
  readonly name: string;
  /** True if images come from elsewhere when they are asked for. */
  readonly isRemote: boolean;
  /** The image, or undefined if it is not here. */
  find(reference: ImageReference): Promise<FoundImage | undefined>;
}

export interface FoundImage {
  readonly manifest: Manifest;
  /** The text of the configuration. */
  readonly config: string;
  /** The blob with this descriptor, its digest checked. */
  blob(descriptor: Descriptor): Promise<Uint8Array>;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** Reads a configuration. Both OCI's and Docker's have these fields. */
export function parseImageConfig(text: string, name: string): ImageConfig {
  const root = new Node(JSON.parse(text), `${name}: configuration`);
  const config = root.at("config");
  return {
    user: config.at("User").text() ?? "",
    env: config.at("Env").texts(),
    entrypoint: config.at("Entrypoint").texts(),
    cmd: config.at("Cmd").texts(),
    workingDir: config.at("WorkingDir").text() ?? "",
    volumes: config
      .at("Volumes")
      .entries()
      .map(([path]) => path),
    diffIds: root.at("rootfs", "diff_ids").texts(),
  };
}

export function parseManifest(text: string, name: string): Manifest {
  const root = new Node(JSON.parse(text), `${name}: manifest`);
  return {
    config: parseDescriptor(root.at("config")),
    layers: root.at("layers").items().map(parseDescriptor),
  };
}

export function parseDescriptor(node: Node): Descriptor {
  return {
    mediaType: node.at("mediaType").text() ?? "",
    digest: node.at("digest").requiredText(),
    size: node.at("size").integer() ?? 0,
  };
}
