/** The generator of `scripts/proto/`: what it reads, what it refuses, and what it writes. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { emitModule } from "../../scripts/proto/emit-module.ts";
import { generate } from "../../scripts/proto/generate.ts";
import { link } from "../../scripts/proto/link.ts";
import { fieldName, lowerFirst, typeName } from "../../scripts/proto/names.ts";
import { parseProto } from "../../scripts/proto/parse-proto.ts";

const proto = (body: string) => `// What it is for.\nsyntax = "proto3";\n\npackage p;\n\n${body}`;
const parse = (body: string) => parseProto("p.proto", proto(body));

describe("the parser", () => {
  test("reads all that is in the subset", () => {
    const file = parse(`
// A message.
// Of two lines.
message A {
  enum E { ZERO = 0; LESS = -1; }
  message B { string s = 1; }
  reserved 8, 9;
  B one = 1;
  repeated E many = 2;
  optional bool maybe = 3;
  map<string, q.C> named = 4;
  oneof choice { uint32 number = 5; }
}
service S { rpc Do(A) returns (stream q.C); }
`);
    const singular = { kind: "singular" };
    expect(file).toEqual({
      path: "p.proto",
      package: "p",
      comment: "What it is for.",
      imports: [],
      messages: [
        {
          name: "A.B",
          comment: "",
          reserved: [],
          fields: [{ name: "s", number: 1, type: { kind: "scalar", scalar: "string" }, label: singular }],
        },
        {
          name: "A",
          comment: "A message. Of two lines.",
          reserved: [8, 9],
          fields: [
            { name: "one", number: 1, type: { kind: "message", name: "B" }, label: singular },
            { name: "many", number: 2, type: { kind: "message", name: "E" }, label: { kind: "repeated" } },
            {
              name: "maybe",
              number: 3,
              type: { kind: "scalar", scalar: "bool" },
              label: { kind: "optional" },
            },
            { name: "named", number: 4, type: { kind: "message", name: "q.C" }, label: { kind: "map" } },
            {
              name: "number",
              number: 5,
              type: { kind: "scalar", scalar: "uint32" },
              label: { kind: "oneof", oneof: "choice" },
            },
          ],
        },
      ],
      enums: [
        {
          name: "A.E",
          comment: "",
          values: [
            { name: "ZERO", number: 0 },
            { name: "LESS", number: -1 },
          ],
        },
      ],
      services: [
        {
          name: "S",
          comment: "",
          methods: [{ name: "Do", request: "A", response: "q.C", clientStreams: false, serverStreams: true }],
        },
      ],
    });
  });

  test.each([
    ["another syntax", 'syntax = "proto2";', 'p.proto:1: expected "proto3", got "proto2"'],
    ["an option", proto('option go_package = "x";'), "p.proto:6: unexpected option"],
    [
      "a number that is used twice",
      proto("message A { bool a = 1; bool b = 1; }"),
      "p.proto:6: A uses a number twice",
    ],
    ["a reserved number", proto("message A { reserved 1; bool a = 1; }"), "p.proto:6: A uses a number twice"],
    [
      "a name that is used twice",
      proto("message A { bool a = 1; int32 a = 2; }"),
      "p.proto:6: A has two fields of a name",
    ],
    ["number 0", proto("message A { bool a = 0; }"), "p.proto:6: a cannot have number 0"],
    [
      "a number of protobuf's own",
      proto("message A { bool a = 19000; }"),
      "p.proto:6: a cannot have number 19000",
    ],
    [
      "a key that is no text",
      proto("message A { map<int32, string> a = 1; }"),
      "p.proto:6: expected string, got int32",
    ],
    ["an enum without zero", proto("enum E { ONE = 1; }"), "p.proto:6: the first value of E has to be 0"],
    ["a file that ends early", proto("message A {"), "p.proto:6: unexpected end of the file"],
    ["a sign of another language", proto("message A [ ]"), 'p.proto:6: cannot read "["'],
  ])("refuses %s", (_what, text, message) => {
    expect(() => parseProto("p.proto", text)).toThrow(message);
  });
});

describe("the linker", () => {
  test("finds a type from the innermost scope outwards", () => {
    const [file] = link([
      parse("message B { bool outer = 1; }\nmessage A { message B { bool inner = 1; } B b = 1; }"),
    ]);
    expect(file?.messages.at(-1)?.fields[0]?.type).toEqual({ kind: "message", name: "p.A.B" });
  });

  test.each([
    ["a type that is nowhere", ["message A { X x = 1; }"], "p.proto: no type X, in p.A"],
    [
      "an enum as a request",
      ["enum E { Z = 0; }\nmessage A {}\nservice S { rpc Do(E) returns (A); }"],
      "E is no message",
    ],
    ["a type that is defined twice", ["message A {}", "message A {}"], "p.A is in p.proto already"],
    ["an import that is not used", ['import "q.proto";\nmessage A {}'], "the import of q.proto is not used"],
  ])("refuses %s", (_what, bodies, message) => {
    expect(() => link(bodies.map((body) => parse(body)))).toThrow(message);
  });

  test("refuses a type of a file that is not imported", () => {
    const other = parseProto("q.proto", proto("message B {}").replace("package p", "package q"));
    expect(() => link([parse("message A { q.B b = 1; }"), other])).toThrow(
      "p.proto: q.B needs an import of q.proto",
    );
  });
});

test.each([
  ["container_id", "containerId"],
  ["nb_cpus", "nbCpus"],
  ["is_ipv6", "isIpv6"],
  ["OCI", "OCI"],
  ["IPAddresses", "IPAddresses"],
  ["memHotplugProbeAddr", "memHotplugProbeAddr"],
])("the field %s is called %s", (name, expected) => {
  expect(fieldName(name)).toBe(expected);
});

test("types and methods are called after the protocol's", () => {
  expect(typeName("VolumeUsage.Unit")).toBe("VolumeUsageUnit");
  expect(["OnlineCPUMem", "GetOOMEvent"].map(lowerFirst)).toEqual(["onlineCPUMem", "getOOMEvent"]);
});

describe("the emitter", () => {
  const emit = (body: string) => {
    const files = link([parse(body)]);
    return files.map((file) => emitModule(file, files)).join();
  };

  test("writes straight-line code", () => {
    const text = emit("// One.\nmessage A { uint32 a = 1; repeated string b = 2; }");
    expect(text).toContain(
      "/** One. */\nexport type A = {\n  readonly a: number;\n  readonly b: readonly string[];\n};",
    );
    expect(text).toContain("  if (m.a) w.uint32(8, m.a);\n  w.strings(18, m.b);\n");
    expect(text).toContain("      case 8:\n        m.a = r.uint32();\n        break;\n");
  });

  test.each([
    [
      "two fields of one name in TypeScript",
      "message A { bool a_b = 1; bool aB = 2; }",
      "A has two fields aB",
    ],
    [
      "a list that has no packed form here",
      "message A { repeated double a = 1; }",
      "a: a list of double is not in our subset",
    ],
    ["a type that is called like the shared code", "message Reader {}", "the name Reader is taken"],
    [
      "a stream in one direction",
      "message A {}\nservice S { rpc Do(A) returns (stream A); }",
      "p.S.Do: a stream in one direction",
    ],
  ])("refuses %s", (_what, body, message) => {
    expect(() => emit(body)).toThrow(message);
  });
});

test("generating writes only what has changed, and removes what has no source", () => {
  const root = mkdtempSync(join(tmpdir(), "kata-generate-"));
  try {
    mkdirSync(join(root, "proto"));
    writeFileSync(join(root, "proto/a.proto"), proto("message A {}"));
    writeFileSync(join(root, "proto/b.proto"), proto("message B {}"));
    expect(generate(root)).toEqual(["a.ts", "b.ts"]);
    const modified = () => statSync(join(root, "build/generated/a.ts")).mtimeMs;
    const before = modified();
    expect(generate(root)).toEqual([]);
    rmSync(join(root, "proto/b.proto"));
    expect(generate(root)).toEqual(["b.ts"]);
    expect(modified()).toBe(before);
    expect(readdirSync(join(root, "build/generated"))).toEqual(["a.ts"]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
