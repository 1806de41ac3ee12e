/**
 * Reading a message of the protocol as the same thing's JSON is read.
 *
 * A table tells how a message differs from the JSON, and a reader what the JSON has to be. Both are put together once, so that a
 * message is read in one pass; what has a fault is made JSON first and read again, which tells the fault's place.
 */
import { KataError } from "../kata-error.ts";
import { type FieldReader, MAX_ENTRIES, type Reader, readDocument } from "./json-reader.ts";

/** A message as the decoder gives it and the encoder takes it: fields by their names in the .proto file. */
export type WireMessage = Readonly<Record<string, unknown>>;

/** How a field is told from an absent one, and what is inside of it. */
export type Form =
  /** Always there: what the message lacks is the scalar's zero. */
  | { readonly kind: "value"; readonly zero: unknown }
  /** Absent if it is the scalar's zero, or an empty list or map. */
  | { readonly kind: "optional" }
  /** The field has presence of its own. */
  | { readonly kind: "presence" }
  /** Absent if it is not above zero. */
  | { readonly kind: "wildcard" }
  | { readonly kind: "message"; readonly table: Table }
  | { readonly kind: "messages"; readonly table: Table };

export type Table = readonly (readonly [json: string, message: string, form: Form])[];

/** @returns what reads a message that `table` describes. It throws what `read` throws. */
export function wireReader<T>(table: Table, read: Reader<T>): (message: object) => T {
  const inOnePass = joinedLater(table, read);
  return (message) => {
    try {
      return inOnePass(message) as T;
    } catch (error) {
      if (!(error instanceof KataError)) throw error;
      return readDocument(read, fromMessage(table, message));
    }
  };
}

type ReadItem = (item: unknown) => unknown;

/** A field with all that is known of it. */
interface WireField {
  /** In JSON. */
  readonly name: string;
  readonly wireName: string;
  readonly kind: Form["kind"];
  readonly zero: unknown;
  readonly read: ReadItem;
  readonly isOptional: boolean;
}

/** Tables that were put together with their readers: each has one. */
const known = new Map<Table, ReadItem>();

/** {@link joined} at the first message that is read: most parts of a specification never come. */
function joinedLater(table: Table, read: Reader<unknown>): ReadItem {
  return (message) => {
    let ready = known.get(table);
    if (ready === undefined) {
      ready = joined(table, read);
      known.set(table, ready);
    }
    return ready(message);
  };
}

function joined(table: Table, read: Reader<unknown>): ReadItem {
  const { parts } = read;
  if (parts?.kind === "finished") {
    const inner = joined(table, parts.read);
    return (message) => parts.finish(inner(message));
  }
  if (parts?.kind !== "object") return (message) => read(fromMessage(table, message), "");
  const rows = new Map(table.map((row) => [row[0], row]));
  const fields = parts.fields.flatMap((field) => {
    const row = rows.get(field.name);
    return row === undefined ? [] : [joinedField(row, field)];
  });
  return (message) => readFields(fields, message as WireMessage);
}

function joinedField([name, wireName, form]: Table[number], field: FieldReader): WireField {
  const { read, isOptional } = field;
  const zero = form.kind === "value" ? form.zero : undefined;
  return { name, wireName, kind: form.kind, zero, read: readItem(form, read, name), isOptional };
}

function readItem(form: Form, read: Reader<unknown>, name: string): ReadItem {
  switch (form.kind) {
    case "message":
      return joinedLater(form.table, read);
    case "messages": {
      const { parts } = read;
      if (parts?.kind !== "list")
        return (item) => read(listFromMessages(form.table, item as unknown[]), name);
      const element = joinedLater(form.table, parts.element);
      return (item) => readList(item as unknown[], element, parts.min);
    }
    case "wildcard":
      return (item) => read(Number(item), name);
    case "optional":
      return (item) => read(item instanceof Map ? Object.fromEntries(item) : item, name);
    default:
      return (item) => read(item, name);
  }
}

function readFields(fields: readonly WireField[], from: WireMessage): object {
  const into: Record<string, unknown> = {};
  // By index: a specification has hundreds of fields, most of them absent, and an iterator costs more than they do.
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index] as WireField;
    const item = from[field.wireName];
    const { kind } = field;
    if (kind === "value") into[field.name] = field.read(item ?? field.zero);
    else if (isPresent(kind, item)) into[field.name] = field.read(item);
    else if (!field.isOptional) throw unread(field.name);
  }
  return into;
}

function isPresent(kind: Form["kind"], item: unknown): boolean {
  if (item === undefined || item === null) return false;
  if (kind === "message" || kind === "presence") return true;
  return kind === "wildcard" ? (item as number | bigint) > 0 : !isZero(item);
}

function readList(items: readonly unknown[], read: ReadItem, min: number): unknown[] {
  if (items.length < min || items.length > MAX_ENTRIES) throw unread("list");
  const list: unknown[] = [];
  for (let index = 0; index < items.length; index++) list.push(read(items[index]));
  return list;
}

/** That a field cannot be read; why is told by the second reading. */
function unread(object: string): KataError {
  return new KataError("invalid-argument", { operation: "read spec", object });
}

/** Whether `item` is what a scalar, a list or a map says that was never set. */
function isZero(item: unknown): boolean {
  if (typeof item !== "object" || item === null) return !item;
  if (Array.isArray(item)) return item.length === 0;
  if (item instanceof Map) return item.size === 0;
  return Object.keys(item).length === 0;
}

function fromMessage(fields: Table, value: unknown): Readonly<Record<string, unknown>> {
  const from = value as WireMessage;
  const into: Record<string, unknown> = {};
  // By index, without taking rows apart by iterators: a specification has hundreds of fields, most of them zero.
  for (let index = 0; index < fields.length; index++) {
    const row = fields[index] as Table[number];
    const item = from[row[1]];
    const form = row[2];
    const { kind } = form;
    if (kind === "value") into[row[0]] = item ?? form.zero;
    else if (item === undefined || item === null) continue;
    else if (kind === "presence") into[row[0]] = item;
    else if (kind === "message") into[row[0]] = fromMessage(form.table, item);
    else if (isZero(item)) continue;
    else if (kind === "optional") into[row[0]] = item instanceof Map ? Object.fromEntries(item) : item;
    else if (kind === "messages") into[row[0]] = listFromMessages(form.table, item as unknown[]);
    else if ((item as number | bigint) > 0) into[row[0]] = Number(item);
  }
  return into;
}

function listFromMessages(fields: Table, items: readonly unknown[]): Readonly<Record<string, unknown>>[] {
  const list: Readonly<Record<string, unknown>>[] = [];
  for (let index = 0; index < items.length; index++) list.push(fromMessage(fields, items[index]));
  return list;
}
