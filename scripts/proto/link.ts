/** Finds what the type names of a set of .proto files mean. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Field, FieldType, ProtoFile } from "./descriptor.ts";
import { parseProto } from "./parse-proto.ts";

/** Reads and links all .proto files below `root`, in the order of their paths. */
export function readProtoFiles(root: string): ProtoFile[] {
  const paths = readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".proto"))
    .sort();
  return link(paths.map((path) => parseProto(path, readFileSync(join(root, path), "utf8"))));
}

/**
 * The files with every type by its full name.
 *
 * @throws Error if a name is unknown, is defined twice, or is used without an import of its file.
 */
export function link(files: readonly ProtoFile[]): ProtoFile[] {
  const types = new Map<string, { readonly kind: "message" | "enum"; readonly path: string }>();
  for (const file of files) {
    const add = (name: string, kind: "message" | "enum") => {
      const full = fullName(file, name);
      const other = types.get(full);
      if (other !== undefined) throw new Error(`${file.path}: ${full} is in ${other.path} already`);
      types.set(full, { kind, path: file.path });
    };
    for (const { name } of file.messages) add(name, "message");
    for (const { name } of file.enums) add(name, "enum");
  }
  return files.map((file) => {
    const used = new Set<string>();
    const resolve = (name: string, scope: string): FieldType => {
      // From the innermost scope outwards, as protobuf does.
      for (let around = scope; ; around = around.slice(0, Math.max(0, around.lastIndexOf(".")))) {
        const full = around === "" ? name : `${around}.${name}`;
        const type = types.get(full);
        if (type !== undefined) {
          if (type.path !== file.path && !file.imports.includes(type.path))
            throw new Error(`${file.path}: ${name} needs an import of ${type.path}`);
          used.add(type.path);
          return { kind: type.kind, name: full };
        }
        if (around === "") throw new Error(`${file.path}: no type ${name}, in ${scope}`);
      }
    };
    const linkField = (field: Field, scope: string): Field =>
      field.type.kind === "scalar" ? field : { ...field, type: resolve(field.type.name, scope) };
    const linkMessage = (name: string) => {
      const type = resolve(name, file.package);
      if (type.kind !== "message") throw new Error(`${file.path}: ${name} is no message`);
      return type.name;
    };
    const linked: ProtoFile = {
      ...file,
      messages: file.messages.map((message) => ({
        ...message,
        fields: message.fields.map((field) => linkField(field, fullName(file, message.name))),
      })),
      services: file.services.map((service) => ({
        ...service,
        methods: service.methods.map((method) => ({
          ...method,
          request: linkMessage(method.request),
          response: linkMessage(method.response),
        })),
      })),
    };
    const idle = file.imports.find((path) => !used.has(path));
    if (idle !== undefined) throw new Error(`${file.path}: the import of ${idle} is not used`);
    return linked;
  });
}

/** `name` of `file` with its package. */
export function fullName(file: ProtoFile, name: string): string {
  return file.package === "" ? name : `${file.package}.${name}`;
}
