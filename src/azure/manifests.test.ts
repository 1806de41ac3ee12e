import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { AKS_RUNTIMES } from "./names.ts";
import { readRuntimeClass, runtimeClassFaults } from "./runtime-class.ts";
import { formatBytes, parseQuantity, REFERENCE_OVERHEADS, referenceOverhead } from "./sizing.ts";

const DIRECTORY = new URL("../../deploy/runtimeclasses/", import.meta.url);

interface Manifest {
  readonly file: string;
  readonly value: unknown;
}

const MANIFESTS: readonly Manifest[] = readdirSync(DIRECTORY)
  .sort()
  .flatMap((file) =>
    parseAllDocuments(readFileSync(new URL(file, DIRECTORY), "utf8"), { uniqueKeys: true }).map(
      (document) => {
        expect([...document.errors, ...document.warnings]).toEqual([]);
        return { file, value: document.toJS() };
      },
    ),
  );

const CLASSES = MANIFESTS.map(({ value }) => readRuntimeClass(value));
const named = (name: string) => {
  const found = CLASSES.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no RuntimeClass ${name}`);
  return found;
};

describe("the RuntimeClasses of deploy/", () => {
  test.each(MANIFESTS)("in $file are as the server takes them", ({ value }) => {
    expect(runtimeClassFaults(value)).toEqual([]);
  });

  test("are those that people know, each once", () => {
    expect(CLASSES.map(({ name }) => name)).toEqual([
      "kata-cc-isolation",
      "kata-clh",
      "kata-fc",
      "kata-mshv-vm-isolation",
      "kata-qemu",
      "kata-remote",
      ...["128mi", "256mi", "1gi", "2gi", "4gi", "8gi", "32gi", "64gi", "96gi", "128gi"].map(
        (size) => `kata-vm-isolation-${size}`,
      ),
      "kata-vm-isolation",
      "kata",
    ]);
  });

  test.each(["kata", "kata-qemu", "kata-clh", "kata-fc"])(
    "%s is for nodes that were set up for it",
    (name) => {
      expect(named(name)).toEqual({
        name,
        handler: name,
        labels: {},
        nodeSelector: { "katacontainers.io/kata-runtime": "true" },
        overhead: { memory: "600Mi", cpu: "250m" },
      });
    },
  );

  test("kata-remote is for machines that cost this host next to nothing", () => {
    expect(named("kata-remote")).toMatchObject({
      handler: "kata-remote",
      overhead: { memory: "120Mi", cpu: "250m" },
    });
  });

  test.each(AKS_RUNTIMES)("$runtimeClass is AKS's", ({ runtimeClass, handler, label }) => {
    const found = named(runtimeClass);
    expect({ handler: found.handler, labels: found.labels, nodeSelector: found.nodeSelector }).toEqual({
      handler,
      labels: { "addonmanager.kubernetes.io/mode": "Reconcile", "kubernetes.io/cluster-service": "true" },
      nodeSelector: { [label]: "true" },
    });
  });

  test.each(REFERENCE_OVERHEADS)(
    "have a class for a limit of $limit bytes with AKS's overhead",
    ({ limit, overhead }) => {
      const found = named(`kata-vm-isolation-${formatBytes(limit).toLowerCase()}`);
      expect(parseQuantity(found.overhead.memory ?? "")).toBe(overhead);
      expect(referenceOverhead(limit)).toBe(overhead);
      expect(found.handler).toBe("kata");
    },
  );

  test("are described as an AKS cluster describes them", () => {
    const transcript = readFileSync(
      new URL("../../tests/fixtures/azure/kata-mshv-vm-isolation.describe.txt", import.meta.url),
      "utf8",
    );
    const manifest = MANIFESTS.find(({ file }) => file === "kata-mshv-vm-isolation.yaml");
    expect(describeRuntimeClass(manifest?.value)).toBe(transcript);
  });
});

/** What `kubectl describe runtimeclass` shows, with what the server of the transcript added. */
function describeRuntimeClass(value: unknown): string {
  const { name, labels, handler, nodeSelector, overhead } = readRuntimeClass(value);
  const pairs = Object.entries(labels).map(([key, each]) => `${key}=${each}`);
  return [
    `Name:         ${name}`,
    "Namespace:",
    `Labels:       ${pairs.join(`\n${" ".repeat(14)}`)}`,
    "Annotations:  <none>",
    "API Version:  node.k8s.io/v1",
    `Handler:      ${handler}`,
    "Kind:         RuntimeClass",
    "Metadata:",
    "  Creation Timestamp:  2025-04-01T18:04:31Z",
    "  Resource Version:    623",
    "  UID:                 b18661c1-0733-4a19-8351-069eac338366",
    ...Object.entries(overhead).map(([key, each]) => `Overhead: ${key} ${each}`),
    "Scheduling:",
    "  Node Selector:",
    ...Object.entries(nodeSelector).map(([key, each]) => `    ${key}:  ${each}`),
    "Events:                                           <none>",
    "",
  ].join("\n");
}
