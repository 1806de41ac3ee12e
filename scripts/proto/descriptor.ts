/** What a .proto file says, as data: the subset of proto3 that our files use. */

export const SCALARS = [
  "double",
  "float",
  "int32",
  "int64",
  "uint32",
  "uint64",
  "bool",
  "string",
  "bytes",
] as const;
export type Scalar = (typeof SCALARS)[number];

/** A type of a field; `name` is the full one, with the package, once the file is linked. */
export type FieldType =
  | { readonly kind: "scalar"; readonly scalar: Scalar }
  | { readonly kind: "message"; readonly name: string }
  | { readonly kind: "enum"; readonly name: string };

/** How often a field occurs, and whether its absence can be told from its zero. */
export type FieldLabel =
  | { readonly kind: "singular" }
  | { readonly kind: "optional" }
  | { readonly kind: "repeated" }
  | { readonly kind: "oneof"; readonly oneof: string }
  /** The key is a string: no other kind is in our files. */
  | { readonly kind: "map" };

export interface Field {
  readonly name: string;
  readonly number: number;
  /** Of a map, the type of its values. */
  readonly type: FieldType;
  readonly label: FieldLabel;
}

export interface Message {
  /** Without the package, with the messages around it: `Sandbox.Runtime`. */
  readonly name: string;
  readonly comment: string;
  readonly fields: readonly Field[];
  /** Numbers that no field may have. */
  readonly reserved: readonly number[];
}

export interface Enum {
  /** Like a message's. */
  readonly name: string;
  readonly comment: string;
  readonly values: readonly { readonly name: string; readonly number: number }[];
}

export interface Method {
  readonly name: string;
  /** Full names of messages. */
  readonly request: string;
  readonly response: string;
  readonly clientStreams: boolean;
  readonly serverStreams: boolean;
}

export interface Service {
  /** Without the package. */
  readonly name: string;
  readonly comment: string;
  readonly methods: readonly Method[];
}

export interface ProtoFile {
  /** Below `proto/`, with slashes. */
  readonly path: string;
  readonly package: string;
  readonly comment: string;
  readonly imports: readonly string[];
  /** Nested ones too, each after those that are inside of it. */
  readonly messages: readonly Message[];
  readonly enums: readonly Enum[];
  readonly services: readonly Service[];
}
