/** TypeScript for one .proto file. */
import type { Enum, ProtoFile, Service } from "./descriptor.ts";
import { emitMessage } from "./emit-message.ts";
import { fullName } from "./link.ts";
import { lowerFirst, moduleName, typeName } from "./names.ts";

/** Where the generated modules find the code that they share, from `build/generated/`. */
const RUNTIME = "../../src/rpc";

/** The names of the shared code that a module may use, by file. */
const SHARED: Readonly<Record<string, readonly string[]>> = {
  "protobuf-reader.ts": ["Draft", "NO_BYTES", "NO_FIELDS", "Reader"],
  "protobuf-writer.ts": ["encode", "MapInput", "Writer"],
  "service.ts": ["streamCall", "streamMethod", "unaryCall", "unaryMethod"],
  "types.ts": [
    "CallContext",
    "Caller",
    "CallOptions",
    "ClientStream",
    "Method",
    "ServerStream",
    "Service",
    "StreamCaller",
  ],
};

const TYPES_ONLY = new Set(["Draft", "MapInput", "Writer", ...(SHARED["types.ts"] ?? [])]);

/** @param files all files, to find what belongs where. */
export function emitModule(file: ProtoFile, files: readonly ProtoFile[]): string {
  const imports = new Map<string, Set<string>>();
  const owners = ownersOf(files);
  const own = new Set(Object.values(SHARED).flat());

  /** `grpc.Spec` → `Spec`, `grpc.SpecInput` → `SpecInput`, `write grpc.Spec` → `writeSpec`; imported if need be. */
  const nameOf = (asked: string): string => {
    const [prefix, full] = asked.includes(" ") ? asked.split(" ", 2) : ["", asked];
    const base = full ?? "";
    const owner = owners.get(base) ?? owners.get(base.replace(/Input$/, ""));
    if (owner === undefined) throw new Error(`${file.path}: no type ${base}`);
    const local = prefix + typeName(owner.package === "" ? base : base.slice(owner.package.length + 1));
    if (owner.path === file.path) return local;
    if (own.has(local)) throw new Error(`${file.path}: ${local} is also in ${owner.path}`);
    const names = imports.get(owner.path) ?? new Set<string>();
    imports.set(owner.path, names.add(local));
    return local;
  };

  for (const { name } of [...file.messages, ...file.enums]) {
    const local = typeName(name);
    for (const taken of [local, `${local}Input`, `write${local}`, `read${local}`]) {
      if (own.has(taken)) throw new Error(`${file.path}: the name ${taken} is taken`);
      own.add(taken);
    }
  }
  const body = [
    ...file.enums.map(emitEnum),
    ...file.messages.map((message) => emitMessage(message, nameOf)),
    ...file.services.map((service) => emitService(file, service, nameOf)),
  ].join("\n");

  const lines = [
    `/** ${file.comment} Generated from proto/${file.path}: change that, not this. */`,
    ...sharedImports(body),
  ];
  for (const [path, names] of [...imports].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const listed = [...names].sort().map((name) => (/^[A-Z]/.test(name) ? `type ${name}` : name));
    lines.push(importLine(listed, `./${moduleName(path)}.ts`));
  }
  return `${lines.join("\n")}\n\n${body}`;
}

function ownersOf(files: readonly ProtoFile[]): ReadonlyMap<string, ProtoFile> {
  const owners = new Map<string, ProtoFile>();
  for (const file of files)
    for (const { name } of [...file.messages, ...file.enums]) owners.set(fullName(file, name), file);
  return owners;
}

function sharedImports(body: string): string[] {
  return Object.entries(SHARED).flatMap(([module, names]) => {
    const used = names
      .filter((name) => new RegExp(`\\b${name}\\b`).test(body))
      .map((name) => (TYPES_ONLY.has(name) ? `type ${name}` : name));
    return used.length === 0 ? [] : [importLine(used, `${RUNTIME}/${module}`)];
  });
}

function importLine(names: readonly string[], from: string): string {
  const allTypes = names.every((name) => name.startsWith("type "));
  const listed = allTypes ? names.map((name) => name.slice("type ".length)) : names;
  return `import ${allTypes ? "type " : ""}{ ${listed.join(", ")} } from "${from}";`;
}

function emitEnum({ name, comment, values }: Enum): string {
  const local = typeName(name);
  return `${comment === "" ? "" : `/** ${comment} */\n`}export const ${local} = {
${values.map((value) => `  ${value.name}: ${value.number},\n`).join("")}} as const;
/** One of them, or a number that a newer peer knows. */
export type ${local} = number;
`;
}

function emitService(file: ProtoFile, service: Service, nameOf: (name: string) => string): string {
  const full = fullName(file, service.name);
  const base = service.name;
  const streams = service.methods.some((method) => method.clientStreams || method.serverStreams);
  for (const { name, clientStreams, serverStreams } of service.methods) {
    if (clientStreams !== serverStreams)
      throw new Error(`${full}.${name}: a stream in one direction is not in our subset`);
  }
  const each = (line: (method: (typeof service.methods)[number]) => string) =>
    service.methods.map(line).join("");
  return `/** Calls to ${full}. */
export type ${base}Client = {
${each(({ name, request, response, clientStreams }) => {
  const call = clientStreams
    ? `(options?: CallOptions) => ClientStream<${nameOf(`${request}Input`)}, ${nameOf(response)}>`
    : `(request: ${nameOf(`${request}Input`)}, options?: CallOptions) => Promise<${nameOf(response)}>`;
  return `  readonly ${lowerFirst(name)}: ${call};\n`;
})}};
export function ${lowerFirst(base)}Client(caller: ${streams ? "StreamCaller" : "Caller"}): ${base}Client {
  const service = "${full}";
  return {
${each(({ name, request, response, clientStreams }) => {
  const codecs = `${nameOf(`encode ${request}`)}, ${nameOf(`decode ${response}`)}`;
  const make = clientStreams ? "streamCall" : "unaryCall";
  return `    ${lowerFirst(name)}: ${make}(caller, service, "${name}", ${codecs}),\n`;
})}  };
}
/** What answers calls to ${full}. */
export type ${base}Handlers = {
${each(({ name, request, response, clientStreams }) => {
  const handler = clientStreams
    ? `(stream: ServerStream<${nameOf(request)}, ${nameOf(`${response}Input`)}>, context: CallContext) => Promise<void>`
    : `(request: ${nameOf(request)}, context: CallContext) => Promise<${nameOf(`${response}Input`)}>`;
  return `  ${lowerFirst(name)}: ${handler};\n`;
})}};
/** A call without a handler is answered with UNIMPLEMENTED. */
export function ${lowerFirst(base).replace(/(Service)?$/, "Service")}(handlers: Partial<${base}Handlers>): Service {
  const methods = new Map<string, Method>();
${each(({ name, request, response, clientStreams }) => {
  const key = lowerFirst(name);
  const codecs = `${nameOf(`decode ${request}`)}, ${nameOf(`encode ${response}`)}`;
  const make = clientStreams ? "streamMethod" : "unaryMethod";
  return `  ${make}(methods, "${name}", ${codecs}, handlers.${key}?.bind(handlers));\n`;
})}  return { name: "${full}", methods };
}
`;
}
