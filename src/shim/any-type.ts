/**
 * Names of the types that containerd packs into `google.protobuf.Any`.
 * Source: containerd, typeurl: a protobuf message goes by its bare full name, a JSON document by a URL.
 */

/** A message whose type is told beside it. */
export interface PackedMessage {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** JSON of the runtime specification; the number is its major version. */
const SPECIFICATION = "types.containerd.io/opencontainers/runtime-spec/1/";
export const PROCESS_TYPE = `${SPECIFICATION}Process`;
export const LINUX_RESOURCES_TYPE = `${SPECIFICATION}LinuxResources`;
export const FEATURES_TYPE = `${SPECIFICATION}features/Features`;

/** The full name of a protobuf message: writers may put a host in front of it. */
export function messageName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}
