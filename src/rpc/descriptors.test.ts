/** The .proto files against the tables of the protocols that they are written from, row by row. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Field, FieldType, ProtoFile } from "../../scripts/proto/descriptor.ts";
import { fullName } from "../../scripts/proto/link.ts";
import { protoFiles, REPOSITORY } from "./testing/all-messages.ts";

/** The tables lie beside the checkout; a clone elsewhere does not have them. */
const TABLES = join(REPOSITORY, "../shared/reference");

/** Files whose definitions are in another one of ours, which is the same package. */
const SAME_DEFINITIONS: Readonly<Record<string, string>> = {
  "runtimeoptions.proto": "containerd/api/types/runtimeoptions/v1/api.proto",
};

/** Ours alone: the tables do not have ttrpc's own messages. */
const OWN_FILES = new Set(["ttrpc.proto"]);

/** Parts of protocols that the tables do not have; the end-to-end tests speak it with containerd. */
const OTHER_FILES = new Set([
  "kubernetes/cri.proto",
  "containerd/api/types/transfer/streaming.proto",
  "containerd/api/services/tasks/v1/tasks.proto",
  "containerd/api/services/content/v1/content.proto",
  "containerd/api/services/diff/v1/diff.proto",
  "google/protobuf/field_mask.proto",
  "containerd/api/services/snapshots/v1/snapshots.proto",
]);

/** Fields from here on are our additions to the agent's protocol, which a peer of upstream's passes over. */
const FIRST_OWN_FIELD = 1000;

/** Messages that only such a field has. */
const OWN_MESSAGES = new Set([
  "grpc.Scheduler",
  "grpc.LinuxIOPriority",
  "grpc.LinuxPersonality",
  "grpc.MachineIdentity",
  "grpc.ContainerProcess",
  "grpc.LastOutput",
]);

/** The rows of a table without its head, as `a|b|c` in the order of its columns. */
function readTable(name: string): string[] {
  const [, ...lines] = readFileSync(join(TABLES, name), "utf8").trimEnd().split("\n");
  return lines.map((line) => {
    const cells = [...line.matchAll(/(?:^|,)(?:"([^"]*)"|([^,]*))/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? "",
    );
    const file = cells.pop() ?? "";
    return [...cells, SAME_DEFINITIONS[file] ?? file].join("|");
  });
}

const showType = (type: FieldType): string => (type.kind === "scalar" ? type.scalar : type.name);

function showField({ name, number, type, label }: Field): string {
  switch (label.kind) {
    case "map":
      return `${name}|${number}|map<string,${showType(type)}>|map`;
    case "oneof":
      return `${name}|${number}|${showType(type)}|oneof:${label.oneof}`;
    case "singular":
      return `${name}|${number}|${showType(type)}|`;
    default:
      return `${name}|${number}|${showType(type)}|${label.kind}`;
  }
}

function messageRows(file: ProtoFile): string[] {
  return file.messages.flatMap(({ name, fields: all, reserved }) => {
    if (OWN_MESSAGES.has(`${file.package}.${name}`)) return [];
    const fields = all.filter(({ number }) => number < FIRST_OWN_FIELD);
    const rows = [
      ...(fields.length === 0 ? ["||(no fields)|"] : fields.map(showField)),
      ...reserved.map((number) => `(reserved)|${number}||`),
    ];
    return rows.map((row) => `${file.package}|${name}|${row}|${file.path}`);
  });
}

function enumRows(file: ProtoFile): string[] {
  return file.enums.flatMap(({ name, values }) =>
    values.map((value) => `${file.package}|${name}|${value.name}|${value.number}|${file.path}`),
  );
}

function serviceRows(file: ProtoFile): string[] {
  return file.services.flatMap((service) =>
    service.methods.map((method) => {
      const request = `${method.clientStreams ? "stream " : ""}${method.request}`;
      const response = `${method.serverStreams ? "stream " : ""}${method.response}`;
      return `${fullName(file, service.name)}|${method.name}|${request}|${response}|${file.path}`;
    }),
  );
}

const unique = (rows: readonly string[]): string[] => [...new Set(rows)].sort();
const described = (rows: (file: ProtoFile) => string[]): string[] =>
  unique(protoFiles.filter((file) => !OWN_FILES.has(file.path) && !OTHER_FILES.has(file.path)).flatMap(rows));

describe.skipIf(!existsSync(TABLES))("the .proto files say what the protocols' tables say", () => {
  const tables: [suffix: string, rows: (file: ProtoFile) => string[], count: number][] = [
    ["protocol", messageRows, 1000],
    ["enums", enumRows, 20],
    ["services", serviceRows, 100],
  ];
  test.each(tables)("%s", (suffix, rows, atLeast) => {
    const expected = [...readTable(`agent-${suffix}.csv`), ...readTable(`shim-${suffix}.csv`)];
    expect(expected.length).toBeGreaterThan(atLeast);
    expect(described(rows)).toEqual(unique(expected));
  });
});

test("messages of our own are reached through fields of our own alone", () => {
  const upstream = protoFiles.flatMap((file) =>
    file.messages
      .filter(({ name }) => !OWN_MESSAGES.has(`${file.package}.${name}`))
      .flatMap(({ fields }) => fields.filter(({ number }) => number < FIRST_OWN_FIELD)),
  );
  expect(upstream.filter(({ type }) => OWN_MESSAGES.has(showType(type)))).toEqual([]);
});

test("the messages of ttrpc have the fields of its protocol", () => {
  expect(protoFiles.filter((file) => OWN_FILES.has(file.path)).flatMap(messageRows)).toEqual([
    "ttrpc|Request|service|1|string||ttrpc.proto",
    "ttrpc|Request|method|2|string||ttrpc.proto",
    "ttrpc|Request|payload|3|bytes||ttrpc.proto",
    "ttrpc|Request|timeout_nano|4|int64||ttrpc.proto",
    "ttrpc|Request|metadata|5|ttrpc.KeyValue|repeated|ttrpc.proto",
    "ttrpc|Response|status|1|google.rpc.Status||ttrpc.proto",
    "ttrpc|Response|payload|2|bytes||ttrpc.proto",
    "ttrpc|KeyValue|key|1|string||ttrpc.proto",
    "ttrpc|KeyValue|value|2|string||ttrpc.proto",
  ]);
});
