/** Every generated message with its descriptor, for tests over all of them. Runs under Node. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Enum, Field, Message, ProtoFile } from "../../../scripts/proto/descriptor.ts";
import { fullName, readProtoFiles } from "../../../scripts/proto/link.ts";
import { moduleName, typeName } from "../../../scripts/proto/names.ts";

export const REPOSITORY: string = join(import.meta.dirname, "../../..");

export const protoFiles: readonly ProtoFile[] = readProtoFiles(join(REPOSITORY, "proto"));

export interface Codec {
  /** With its package. */
  readonly name: string;
  readonly message: Message;
  readonly encode: (message: unknown) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

/** Messages and enums by their full names. */
export const messages: ReadonlyMap<string, Message> = new Map(
  protoFiles.flatMap((file) =>
    file.messages.map((message) => [fullName(file, message.name), message] as const),
  ),
);
export const enums: ReadonlyMap<string, Enum> = new Map(
  protoFiles.flatMap((file) => file.enums.map((value) => [fullName(file, value.name), value] as const)),
);

/** The generated code of all messages. */
export async function loadCodecs(): Promise<readonly Codec[]> {
  const codecs: Codec[] = [];
  for (const file of protoFiles) {
    const path = join(REPOSITORY, "build/generated", `${moduleName(file.path)}.ts`);
    const module: Record<string, unknown> = await import(pathToFileURL(path).href);
    for (const message of file.messages) {
      const local = typeName(message.name);
      const encode = module[`encode${local}`];
      const decode = module[`decode${local}`];
      if (typeof encode !== "function" || typeof decode !== "function")
        throw new Error(`${path}: no codec of ${local}`);
      codecs.push({
        name: fullName(file, message.name),
        message,
        encode: (value) => encode(value) as Uint8Array,
        decode: (bytes) => decode(bytes) as unknown,
      });
    }
  }
  return codecs;
}

/** The message that a field holds. */
export function messageOf(field: Field): Message {
  const found = field.type.kind === "message" ? messages.get(field.type.name) : undefined;
  if (found === undefined) throw new Error(`${field.name} holds no message`);
  return found;
}
