/** JSON and YAML documents, read field by field into types. */
import { KataError } from "../../kata-error.ts";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [field: string]: Json;
}

/** A node of a document that knows where it is, for messages. */
export class Node {
  readonly value: Json | undefined;
  readonly path: string;

  constructor(value: Json | undefined, path: string) {
    this.value = value;
    this.path = path;
  }

  /** The field, absent if the node is no object. */
  at(...fields: readonly string[]): Node {
    let node: Node = this;
    for (const field of fields) {
      const below = isObject(node.value) && Object.hasOwn(node.value, field) ? node.value[field] : undefined;
      node = new Node(below, node.path === "" ? field : `${node.path}.${field}`);
    }
    return node;
  }

  get isPresent(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  /** The text, or the text form of a number or boolean: YAML does not quote `value: 1`. */
  text(): string | undefined {
    if (!this.isPresent) return undefined;
    if (typeof this.value === "object") throw this.wrong("a string");
    return String(this.value);
  }

  requiredText(): string {
    const text = this.text();
    if (text === undefined) throw this.wrong("a string");
    return text;
  }

  flag(): boolean | undefined {
    if (!this.isPresent) return undefined;
    if (typeof this.value !== "boolean") throw this.wrong("true or false");
    return this.value;
  }

  /** A user or group id, or another count. */
  integer(): number | undefined {
    if (!this.isPresent) return undefined;
    if (typeof this.value !== "number" || !Number.isSafeInteger(this.value)) throw this.wrong("an integer");
    return this.value;
  }

  items(): Node[] {
    if (!this.isPresent) return [];
    if (!Array.isArray(this.value)) throw this.wrong("a list");
    return this.value.map((item: Json, index) => new Node(item, `${this.path}[${index}]`));
  }

  texts(): string[] {
    return this.items().map((item) => item.requiredText());
  }

  entries(): [key: string, node: Node][] {
    if (!this.isPresent) return [];
    if (!isObject(this.value)) throw this.wrong("a mapping");
    return Object.keys(this.value).map((key) => [key, this.at(key)]);
  }

  wrong(expected: string): KataError {
    const found = this.value === undefined ? "nothing" : (JSON.stringify(this.value) ?? "nothing");
    return new KataError("invalid-document", {
      operation: "read document",
      object: this.path === "" ? "document" : this.path,
      hint: `${expected} was expected, not ${found.slice(0, 80)}`,
    });
  }
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
