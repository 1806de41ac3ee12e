/**
 * Reads one .proto file: proto3 with messages, enums, services, maps with string keys, oneofs, optional and reserved.
 *
 * Not in the subset, and refused: options, groups, extensions, proto2, reserved ranges and names.
 * Source: protobuf.dev, "Protocol Buffers Version 3 Language Specification".
 */
import type {
  Enum,
  Field,
  FieldLabel,
  FieldType,
  Message,
  Method,
  ProtoFile,
  Service,
} from "./descriptor.ts";
import { SCALARS } from "./descriptor.ts";
import { type Token, tokenize } from "./tokens.ts";

/** 19,000 to 19,999 are the implementations' own. */
const MAX_FIELD_NUMBER = 0x1fff_ffff;

/** @throws Error with file and line. Names of types are still as they are written: link() completes them. */
export function parseProto(path: string, text: string): ProtoFile {
  return new Parser(path, tokenize(path, text)).file();
}

class Parser {
  readonly #path: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  readonly #messages: Message[] = [];
  readonly #enums: Enum[] = [];

  constructor(path: string, tokens: readonly Token[]) {
    this.#path = path;
    this.#tokens = tokens;
  }

  file(): ProtoFile {
    const comment = this.#peek().comment;
    this.#expect("syntax", "=", '"proto3"', ";");
    let packageName = "";
    const imports: string[] = [];
    const services: Service[] = [];
    while (this.#at < this.#tokens.length) {
      const { text, comment } = this.#next();
      if (text === "package") {
        packageName = this.#name();
        this.#expect(";");
      } else if (text === "import") {
        imports.push(this.#next().text.slice(1, -1));
        this.#expect(";");
      } else if (text === "message") {
        this.#message("", comment);
      } else if (text === "enum") {
        this.#enum("", comment);
      } else if (text === "service") {
        services.push(this.#service(comment));
      } else {
        this.#fail(`unexpected ${text}`);
      }
    }
    return {
      path: this.#path,
      package: packageName,
      comment,
      imports,
      messages: this.#messages,
      enums: this.#enums,
      services,
    };
  }

  #message(around: string, comment: string): void {
    const name = around + this.#name();
    const fields: Field[] = [];
    const reserved: number[] = [];
    this.#expect("{");
    while (!this.#take("}")) {
      const next = this.#peek();
      if (this.#take("message")) this.#message(`${name}.`, next.comment);
      else if (this.#take("enum")) this.#enum(`${name}.`, next.comment);
      else if (this.#take("oneof")) this.#oneof(fields);
      else if (this.#take("reserved")) reserved.push(...this.#reserved());
      else fields.push(this.#field());
    }
    const numbers = [...fields.map((field) => field.number), ...reserved];
    if (new Set(numbers).size !== numbers.length) this.#fail(`${name} uses a number twice`);
    if (new Set(fields.map((field) => field.name)).size !== fields.length)
      this.#fail(`${name} has two fields of a name`);
    this.#messages.push({ name, comment, fields, reserved });
  }

  #oneof(fields: Field[]): void {
    const oneof = this.#name();
    this.#expect("{");
    while (!this.#take("}")) {
      const field = this.#field();
      if (field.label.kind !== "singular") this.#fail(`${field.name} of a oneof has a label`);
      fields.push({ ...field, label: { kind: "oneof", oneof } });
    }
  }

  #reserved(): number[] {
    const numbers: number[] = [];
    do numbers.push(this.#number());
    while (this.#take(","));
    this.#expect(";");
    return numbers;
  }

  #field(): Field {
    let label: FieldLabel = { kind: "singular" };
    let type: FieldType;
    if (this.#take("map")) {
      label = { kind: "map" };
      this.#expect("<", "string", ",");
      type = this.#type();
      this.#expect(">");
    } else {
      if (this.#take("repeated")) label = { kind: "repeated" };
      else if (this.#take("optional")) label = { kind: "optional" };
      type = this.#type();
    }
    const name = this.#name();
    this.#expect("=");
    const number = this.#number();
    if (number < 1 || number > MAX_FIELD_NUMBER || (number >= 19_000 && number < 20_000))
      this.#fail(`${name} cannot have number ${number}`);
    this.#expect(";");
    return { name, number, type, label };
  }

  #type(): FieldType {
    const name = this.#name();
    const scalar = SCALARS.find((candidate) => candidate === name);
    return scalar === undefined ? { kind: "message", name } : { kind: "scalar", scalar };
  }

  #enum(around: string, comment: string): void {
    const name = around + this.#name();
    const values: { name: string; number: number }[] = [];
    this.#expect("{");
    while (!this.#take("}")) {
      const value = this.#name();
      this.#expect("=");
      values.push({ name: value, number: this.#number() });
      this.#expect(";");
    }
    if (values[0]?.number !== 0) this.#fail(`the first value of ${name} has to be 0`);
    this.#enums.push({ name, comment, values });
  }

  #service(comment: string): Service {
    const name = this.#name();
    const methods: Method[] = [];
    this.#expect("{");
    while (!this.#take("}")) {
      this.#expect("rpc");
      const method = this.#name();
      this.#expect("(");
      const clientStreams = this.#take("stream");
      const request = this.#name();
      this.#expect(")", "returns", "(");
      const serverStreams = this.#take("stream");
      const response = this.#name();
      this.#expect(")", ";");
      methods.push({ name: method, request, response, clientStreams, serverStreams });
    }
    return { name, comment, methods };
  }

  #name(): string {
    const { text } = this.#next();
    if (!/^[A-Za-z_]/.test(text)) this.#fail(`expected a name, got ${text}`);
    return text;
  }

  #number(): number {
    const { text } = this.#next();
    if (!/^-?\d+$/.test(text)) this.#fail(`expected a number, got ${text}`);
    return Number(text);
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? this.#fail("unexpected end of the file");
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #take(text: string): boolean {
    const taken = this.#tokens[this.#at]?.text === text;
    if (taken) this.#at++;
    return taken;
  }

  #expect(...texts: string[]): void {
    for (const text of texts) {
      const found = this.#next();
      if (found.text !== text) {
        this.#at--;
        this.#fail(`expected ${text}, got ${found.text}`);
      }
    }
  }

  #fail(what: string): never {
    const line = (this.#tokens[this.#at] ?? this.#tokens.at(-1))?.line ?? 1;
    throw new Error(`${this.#path}:${line}: ${what}`);
  }
}
