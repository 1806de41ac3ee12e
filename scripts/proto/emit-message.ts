/** TypeScript for one message: its types, and straight-line code that writes and reads it. */
import type { Field, FieldType, Message, Scalar } from "./descriptor.ts";
import { fieldName, typeName } from "./names.ts";

const WIRE_VARINT = 0;
const WIRE_64 = 1;
const WIRE_BYTES = 2;
const WIRE_32 = 5;

/** The name in the module of a type by its full name, which is imported if it has to be. */
export type NameOf = (fullName: string) => string;

interface ScalarForm {
  readonly decoded: string;
  readonly input: string;
  readonly zero: string;
  readonly wire: number;
  /** The packed form's reader and writer, of those that our files have in lists. */
  readonly packed?: string;
}

const FORMS: Readonly<Record<Scalar, ScalarForm>> = {
  double: { decoded: "number", input: "number", zero: "0", wire: WIRE_64 },
  float: { decoded: "number", input: "number", zero: "0", wire: WIRE_32 },
  int32: { decoded: "number", input: "number", zero: "0", wire: WIRE_VARINT, packed: "Int32" },
  int64: { decoded: "bigint", input: "number | bigint", zero: "0n", wire: WIRE_VARINT, packed: "Int64" },
  uint32: { decoded: "number", input: "number", zero: "0", wire: WIRE_VARINT, packed: "Uint32" },
  uint64: { decoded: "bigint", input: "number | bigint", zero: "0n", wire: WIRE_VARINT, packed: "Uint64" },
  bool: { decoded: "boolean", input: "boolean", zero: "false", wire: WIRE_VARINT },
  string: { decoded: "string", input: "string", zero: '""', wire: WIRE_BYTES },
  bytes: { decoded: "Uint8Array", input: "Uint8Array", zero: "NO_BYTES", wire: WIRE_BYTES },
};

/** An enum is an int32 on the wire. */
function scalarOf(type: FieldType): Scalar | undefined {
  return type.kind === "scalar" ? type.scalar : type.kind === "enum" ? "int32" : undefined;
}

export function emitMessage(message: Message, nameOf: NameOf): string {
  const name = typeName(message.name);
  const comment = message.comment === "" ? "" : `/** ${message.comment} */\n`;
  const each = (line: (field: Field) => string) => message.fields.map(line).join("");
  const names = message.fields.map((field) => fieldName(field.name));
  const clash = names.find((candidate, index) => names.indexOf(candidate) !== index);
  if (clash !== undefined) throw new Error(`${message.name} has two fields ${clash}`);
  if (message.fields.length === 0) return emitEmpty(name, comment);
  const initial = message.fields.flatMap((field) => {
    const value = initialValue(field);
    return value === undefined ? [] : [`${fieldName(field.name)}: ${value}`];
  });
  return `${comment}export type ${name} = {
${each((field) => `  readonly ${decodedField(field, nameOf)};\n`)}};
export type ${name}Input = {
${each((field) => `  readonly ${fieldName(field.name)}?: ${inputType(field, nameOf)} | undefined;\n`)}};
export function write${name}(w: Writer, m: ${name}Input): void {
${each((field) => writeLines(field, nameOf))}}
export function read${name}(r: Reader, into?: ${name}): ${name} {
  const m = (into ?? {${initial.length === 0 ? "" : ` ${initial.join(", ")} `}}) as Draft<${name}>;
  while (r.at < r.end) {
    const tag = r.tag();
    switch (tag) {
${each((field) => readLines(field, nameOf))}      default:
        r.skip(tag);
    }
  }
  return m;
}
export const encode${name} = (m: ${name}Input): Uint8Array => encode(write${name}, m);
export const decode${name} = (bytes: Uint8Array): ${name} => read${name}(new Reader(bytes));
`;
}

function emitEmpty(name: string, comment: string): string {
  return `${comment}export type ${name} = Readonly<Record<string, never>>;
export type ${name}Input = ${name};
export function write${name}(_w: Writer, _m: ${name}Input): void {
  // It has no fields.
}
export function read${name}(r: Reader, m: ${name} = {}): ${name} {
  while (r.at < r.end) r.skip(r.tag());
  return m;
}
export const encode${name} = (_m: ${name}Input): Uint8Array => NO_BYTES;
export const decode${name} = (bytes: Uint8Array): ${name} => read${name}(new Reader(bytes));
`;
}

/** Fields of a message, an `optional` and a oneof can be absent. */
function hasPresence({ label, type }: Field): boolean {
  return (
    label.kind === "optional" ||
    label.kind === "oneof" ||
    (label.kind === "singular" && type.kind === "message")
  );
}

function decodedType(type: FieldType, nameOf: NameOf): string {
  return type.kind === "scalar" ? FORMS[type.scalar].decoded : nameOf(type.name);
}

function decodedField(field: Field, nameOf: NameOf): string {
  const type = decodedType(field.type, nameOf);
  const name = fieldName(field.name);
  if (hasPresence(field)) return `${name}?: ${type} | undefined`;
  if (field.label.kind === "repeated") return `${name}: readonly ${type}[]`;
  if (field.label.kind === "map") return `${name}: ReadonlyMap<string, ${type}>`;
  return `${name}: ${type}`;
}

function inputType(field: Field, nameOf: NameOf): string {
  const { type } = field;
  const one =
    type.kind === "scalar"
      ? FORMS[type.scalar].input
      : type.kind === "enum"
        ? nameOf(type.name)
        : nameOf(`${type.name}Input`);
  if (field.label.kind === "map") return `MapInput<${one}>`;
  if (field.label.kind !== "repeated") return one;
  return one.includes("|") ? `readonly (${one})[]` : `readonly ${one}[]`;
}

function initialValue(field: Field): string | undefined {
  if (hasPresence(field)) return undefined;
  if (field.label.kind === "repeated") return "[]";
  if (field.label.kind === "map") return "new Map()";
  const scalar = scalarOf(field.type);
  return scalar === undefined ? undefined : FORMS[scalar].zero;
}

const tagOf = (number: number, wire: number): number => number * 8 + wire;

/** The name of the method of Writer and Reader for one value. */
function method(type: FieldType): string {
  return type.kind === "scalar" ? type.scalar : type.kind === "enum" ? "int32" : "message";
}

function writeLines(field: Field, nameOf: NameOf): string {
  const { type, label } = field;
  const value = `m.${fieldName(field.name)}`;
  const scalar = scalarOf(type);
  const tag = tagOf(field.number, scalar === undefined ? WIRE_BYTES : FORMS[scalar].wire);
  const writer = type.kind === "message" ? nameOf(`write ${type.name}`) : "";
  if (label.kind === "map") {
    const inner = tagOf(2, scalar === undefined ? WIRE_BYTES : FORMS[scalar].wire);
    const call =
      type.kind === "message" ? `w.message(${inner}, v, ${writer})` : `w.${method(type)}(${inner}, v)`;
    return `  w.map(${tagOf(field.number, WIRE_BYTES)}, ${value}, (v) => ${call});\n`;
  }
  if (label.kind === "repeated") {
    if (type.kind === "message") return `  w.messages(${tag}, ${value}, ${writer});\n`;
    if (scalar === "string") return `  w.strings(${tag}, ${value});\n`;
    return `  w.packed${packedName(field)}(${tagOf(field.number, WIRE_BYTES)}, ${value});\n`;
  }
  if (type.kind === "message") return `  w.message(${tag}, ${value}, ${writer});\n`;
  // A NaN and a negative zero are worth writing, so doubles go by presence.
  const byPresence = hasPresence(field) || scalar === "double" || scalar === "float";
  const condition = byPresence ? `${value} !== undefined` : scalar === "bytes" ? `${value}?.length` : value;
  return `  if (${condition}) w.${method(type)}(${tag}, ${value});\n`;
}

function readLines(field: Field, nameOf: NameOf): string {
  const { type, label } = field;
  const target = `m.${fieldName(field.name)}`;
  const scalar = scalarOf(type);
  const wire = scalar === undefined ? WIRE_BYTES : FORMS[scalar].wire;
  const tag = tagOf(field.number, wire);
  const reader = type.kind === "message" ? nameOf(`read ${type.name}`) : "";
  const arm = (on: number, action: string) => `      case ${on}:\n        ${action};\n        break;\n`;
  if (label.kind === "map") {
    const value = type.kind === "message" ? `r.message(${reader}, v)` : `r.${method(type)}()`;
    const zero = scalar === undefined ? `${reader}(NO_FIELDS)` : FORMS[scalar].zero;
    const parameter = type.kind === "message" ? "(v)" : "()";
    return arm(
      tagOf(field.number, WIRE_BYTES),
      `r.entry(${target}, ${tagOf(2, wire)}, ${parameter} => ${value}, () => ${zero})`,
    );
  }
  if (label.kind === "repeated") {
    if (type.kind === "message") return arm(tag, `r.messages(${target}, ${reader})`);
    if (scalar === "string") return arm(tag, `r.strings(${target}, ${tag})`);
    return (
      arm(tag, `r.push(${target}, r.${method(type)}())`) +
      arm(tagOf(field.number, WIRE_BYTES), `r.packed${packedName(field)}(${target})`)
    );
  }
  return arm(
    tag,
    type.kind === "message"
      ? `${target} = r.message(${reader}, ${target})`
      : `${target} = r.${method(type)}()`,
  );
}

function packedName(field: Field): string {
  const scalar = scalarOf(field.type);
  const packed = scalar === undefined ? undefined : FORMS[scalar].packed;
  if (packed === undefined) throw new Error(`${field.name}: a list of ${scalar} is not in our subset`);
  return packed;
}
