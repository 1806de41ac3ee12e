/** genpolicy's settings: what a cluster's runtime adds to every container, and what requests it makes. */
import { KataError } from "../../kata-error.ts";
import type { LayerFormat } from "../layers/layer-disk.ts";
import { patchDocument } from "../rego/builtins/json-documents.ts";
import { fromJson, toJson } from "../rego/json.ts";
import { isObject, type Json, type JsonObject, Node } from "./json.ts";
import type { MountPolicy } from "./policy-data.ts";

export interface Settings {
  readonly pause: ContainerSettings;
  readonly other: ContainerSettings;
  readonly volumes: VolumeSettings;
  readonly mountDestinations: readonly string[];
  readonly defaultCapabilities: readonly string[];
  readonly privilegedCapabilities: readonly string[];
  /** What the layers of images are as disks that the policy binds; undefined if it binds none. */
  readonly layerFormat: LayerFormat | undefined;
  readonly ociVersion: string;
  readonly configMapStorages: boolean;
  readonly pauseImage: string;
  readonly guestPull: boolean;
  readonly emptyDir: EmptyDirKind;
  /** Where containers write over verified layers; of this project. */
  readonly layerChanges: LayerChangesKind;
  /** Whether the pause container has its group among its additional ones; newer pause images run as root without. */
  readonly pauseGroups: "own-group" | "none";
  readonly vfio: VfioSettings;
  /** Parts that the rules read. */
  readonly policyParts: {
    readonly common: Json;
    readonly sandbox: Json;
    readonly request_defaults: Json;
    readonly devices: Json;
    readonly cluster_config: Json;
  };
}

/** Values of `image_layer_verification`: AKS's, and that of guests without AKS's kernel module. */
const LAYER_FORMATS = {
  none: undefined,
  "host-tarfs-dm-verity": "tar",
  "host-erofs-dm-verity": "erofs",
} as const satisfies Readonly<Record<string, LayerFormat | undefined>>;
const LAYER_VERIFICATIONS = ["none", "host-tarfs-dm-verity", "host-erofs-dm-verity"] as const;
export type LayerChangesKind = "memory" | "block-plain" | "block-encrypted";
export type EmptyDirKind = "block-encrypted" | "block-plain" | "shared-fs";

/** What the runtime gives to a container beside what the pod and the image say. */
export interface ContainerSettings {
  readonly rootPath: string;
  readonly rootReadonly: boolean;
  readonly mounts: readonly MountPolicy[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly process: {
    readonly noNewPrivileges: boolean;
    readonly uid: number;
    readonly gid: number;
    readonly username: string;
    readonly args: readonly string[];
    readonly env: readonly string[];
  };
  readonly sysctl: Readonly<Record<string, string>>;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly devices: readonly { readonly Type: string; readonly Path: string }[];
}

export interface VolumeSettings {
  readonly emptyDir: VolumeKind;
  readonly emptyDirEncrypted: VolumeKind;
  readonly emptyDirPlain: VolumeKind;
  readonly emptyDirMemory: VolumeKind;
  readonly configMap: VolumeKind;
  readonly imageVolume: VolumeKind;
}

/** How a kind of volume looks in requests; paths are prefixes of expressions. */
export interface VolumeKind {
  readonly mountType: string;
  readonly mountSource: string;
  readonly mountPoint: string;
  readonly driver: string;
  readonly driverOptions: readonly string[];
  readonly source: string;
  readonly fstype: string;
  readonly options: readonly string[];
  readonly shared: boolean;
}

export interface VfioSettings {
  readonly devicePath: string;
  readonly annotationKey: string;
  readonly annotationValue: string;
  readonly deviceType: string;
  /** Extended resources that are devices passed through. */
  readonly resourceKeys: readonly string[];
}

/** A settings text with its patches, in the order in which they apply. */
export interface SettingsSource {
  readonly name: string;
  readonly text: string;
  readonly patches: readonly { readonly name: string; readonly text: string }[];
}

/**
 * Reads settings and applies their patches (RFC 6902).
 *
 * @throws KataError `invalid-settings` naming the file and the field or operation.
 */
export function readSettings(source: SettingsSource): Settings {
  let document = fromJson(parse(source.name, source.text));
  for (const { name, text } of source.patches) {
    const operations = fromJson(parse(name, text));
    if (!Array.isArray(operations)) throw invalid(name, "a JSON patch is a list of operations");
    for (const [index, operation] of operations.entries()) {
      const patched = patch(document, operation, `${name}: operation ${index + 1}`);
      document = patched;
    }
  }
  const root = new Node(toJson(document) as Json, "");
  try {
    return settingsOf(root);
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    throw invalid(`${source.name}: ${error.object}`, error.hint ?? "wrong type");
  }
}

function parse(name: string, text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw invalid(name, error instanceof Error ? error.message : "no JSON");
  }
}

function patch(document: ReturnType<typeof fromJson>, operation: unknown, where: string) {
  let patched: ReturnType<typeof fromJson> | undefined;
  try {
    patched = patchDocument(document, [operation as ReturnType<typeof fromJson>]);
  } catch (error) {
    throw invalid(where, error instanceof Error ? error.message : "malformed");
  }
  if (patched === undefined) throw invalid(where, "its path is not there, or its test failed");
  return patched;
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-settings", { operation: "read settings", object, hint });
}

const REQUIRED_PARTS = ["common", "sandbox", "request_defaults", "cluster_config"] as const;

function settingsOf(root: Node): Settings {
  for (const part of REQUIRED_PARTS)
    if (!isObject(root.at(part).value)) throw root.at(part).wrong("an object");
  const common = root.at("common");
  const cluster = root.at("cluster_config");
  const config = root.at("kata_config");
  const vfio = root.at("devices", "vfio");
  return {
    pause: containerSettings(root.at("pause_container")),
    other: containerSettings(root.at("other_container")),
    volumes: {
      emptyDir: volumeKind(root.at("volumes", "emptyDir")),
      emptyDirEncrypted: volumeKind(root.at("volumes", "emptyDir_encrypted")),
      emptyDirPlain: volumeKind(root.at("volumes", "emptyDir_plain")),
      emptyDirMemory: volumeKind(root.at("volumes", "emptyDir_memory")),
      configMap: volumeKind(root.at("volumes", "configMap")),
      imageVolume: volumeKind(root.at("volumes", "image_volume")),
    },
    mountDestinations: root.at("mount_destinations").texts(),
    defaultCapabilities: common.at("default_caps").texts(),
    privilegedCapabilities: common.at("privileged_caps").texts(),
    layerFormat: LAYER_FORMATS[oneOf(common.at("image_layer_verification"), LAYER_VERIFICATIONS, "none")],
    ociVersion: config.at("oci_version").requiredText(),
    configMapStorages: config.at("enable_configmap_secret_storages").flag() ?? false,
    pauseImage: cluster.at("pause_container_image").requiredText(),
    guestPull: cluster.at("guest_pull").flag() ?? false,
    emptyDir: oneOf(
      cluster.at("emptydir_type"),
      ["block-encrypted", "block-plain", "shared-fs"],
      "shared-fs",
    ),
    layerChanges: oneOf(cluster.at("layer_changes"), ["memory", "block-plain", "block-encrypted"], "memory"),
    pauseGroups:
      oneOf(cluster.at("pause_container_id_policy"), ["v1", "v2"], "v1") === "v1" ? "own-group" : "none",
    vfio: {
      devicePath: vfio.at("device_path").text() ?? "/dev/vfio/devices/vfio",
      annotationKey: vfio.at("anno_key_regex").text() ?? "",
      annotationValue: vfio.at("nvidia", "gpu_anno_value_regex").text() ?? "",
      deviceType: vfio.at("nvidia", "gpu_gk_device_type").text() ?? "",
      resourceKeys: vfio.at("nvidia", "pgpu_resource_keys").texts(),
    },
    policyParts: {
      common: without(common, ["image_layer_verification"]),
      sandbox: root.at("sandbox").value ?? {},
      request_defaults: root.at("request_defaults").value ?? {},
      devices: policyDevices(root.at("devices")),
      cluster_config: cluster.value ?? {},
    },
  };
}

function containerSettings(node: Node): ContainerSettings {
  const user = node.at("Process", "User");
  return {
    rootPath: node.at("Root", "Path").requiredText(),
    rootReadonly: node.at("Root", "Readonly").flag() ?? false,
    mounts: node
      .at("Mounts")
      .items()
      .map((mount) => ({
        destination: mount.at("destination").requiredText(),
        source: mount.at("source").text() ?? "",
        type_: mount.at("type_").requiredText(),
        options: mount.at("options").texts(),
      })),
    annotations: texts(node.at("Annotations")),
    process: {
      noNewPrivileges: node.at("Process", "NoNewPrivileges").flag() ?? false,
      uid: user.at("UID").integer() ?? 0,
      gid: user.at("GID").integer() ?? 0,
      username: user.at("Username").text() ?? "",
      args: node.at("Process", "Args").texts(),
      env: node.at("Process", "Env").texts(),
    },
    sysctl: texts(node.at("Linux", "Sysctl")),
    maskedPaths: node.at("Linux", "MaskedPaths").texts(),
    readonlyPaths: node.at("Linux", "ReadonlyPaths").texts(),
    devices: node
      .at("Linux", "Devices")
      .items()
      .map((device) => ({ Type: device.at("Type").text() ?? "", Path: device.at("Path").requiredText() })),
  };
}

function volumeKind(node: Node): VolumeKind {
  return {
    mountType: node.at("mount_type").text() ?? "bind",
    mountSource: node.at("mount_source").text() ?? "",
    mountPoint: node.at("mount_point").text() ?? "",
    driver: node.at("driver").text() ?? "",
    driverOptions: node.at("driver_options").texts(),
    source: node.at("source").text() ?? "",
    fstype: node.at("fstype").text() ?? "",
    options: node.at("options").texts(),
    shared: node.at("shared").flag() ?? false,
  };
}

function texts(node: Node): Record<string, string> {
  return Object.fromEntries(node.entries().map(([key, value]) => [key, value.requiredText()]));
}

function oneOf<T extends string>(node: Node, choices: readonly T[], fallback: T): T {
  const text = node.text();
  if (text === undefined) return fallback;
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) throw node.wrong(`one of ${choices.join(", ")}`);
  return choice;
}

function without(node: Node, names: readonly string[]): JsonObject {
  const fields = node.entries().filter(([key]) => !names.includes(key));
  return Object.fromEntries(fields.map(([key, field]) => [key, field.value ?? null]));
}

/** Devices without what only the generator needs. */
function policyDevices(node: Node): JsonObject {
  const nvidia = without(node.at("vfio", "nvidia"), [
    "gpu_anno_value_regex",
    "gpu_gk_device_type",
    "pgpu_resource_keys",
  ]);
  const vfio = {
    device_path: "/dev/vfio/devices/vfio",
    ...without(node.at("vfio"), ["anno_key_regex"]),
    nvidia,
  };
  return { ...without(node, ["vfio"]), vfio };
}
