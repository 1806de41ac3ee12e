/** Pods of every kind of workload, made and asked for as their controllers name them, run with the policy of their YAML. */
import { expect, test } from "vitest";
import { AgentPolicy } from "../agent-policy/agent-policy.ts";
import { fromJson } from "../rego/json.ts";
import { CASE_IMAGES } from "./testing/image-layout.ts";
import { genpolicy } from "./testing/policy-maker.ts";
import { containerId, createRequest, execRequest, policyDataOf } from "./testing/runtime-requests.ts";

const IMAGE = {
  name: "example.com/app:1",
  env: ["PATH=/bin"],
  entrypoint: ["/app"],
  volumes: ["/data"],
  files: { "etc/passwd": "root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n", "etc/group": "web:x:34:\n" },
};

const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });

const SPEC = {
  initContainers: [
    { name: "init", image: IMAGE.name, command: ["init"], securityContext: { runAsUser: 1, runAsGroup: 1 } },
  ],
  containers: [
    {
      name: "app",
      image: IMAGE.name,
      securityContext: { runAsUser: 33, runAsGroup: 34 },
      env: [
        field("NAME", "metadata.name"),
        field("UID", "metadata.uid"),
        field("LABEL", "metadata.labels['app']"),
        field("NOTE", "metadata.annotations['note']"),
        field("IP", "status.podIP"),
        field("HOST_IP", "status.hostIP"),
        field("NODE", "spec.nodeName"),
        field("ACCOUNT", "spec.serviceAccountName"),
        { name: "MAP", valueFrom: { configMapKeyRef: { name: "settings", key: "level" } } },
        { name: "SECRET", valueFrom: { secretKeyRef: { name: "login", key: "word" } } },
        { name: "CPUS", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      ],
      envFrom: [{ configMapRef: { name: "settings" } }, { secretRef: { name: "login" }, prefix: "P_" }],
      lifecycle: { postStart: { exec: { command: ["after"] } } },
      volumeMounts: [
        { name: "settings", mountPath: "/settings" },
        { name: "login", mountPath: "/login", readOnly: true },
        { name: "disk", mountPath: "/disk" },
        { name: "memory", mountPath: "/memory" },
      ],
      resources: { limits: { cpu: "1" } },
    },
  ],
  volumes: [
    { name: "settings", configMap: { name: "settings" } },
    { name: "login", secret: { secretName: "login" } },
    { name: "disk", emptyDir: {} },
    { name: "memory", emptyDir: { medium: "Memory" } },
  ],
  securityContext: { supplementalGroups: [7, 5], fsGroup: 9 },
};
const LABELS = { labels: { app: "demo" }, annotations: { note: "text" } };
const METADATA = { name: "demo", ...LABELS };
const TEMPLATE = { metadata: LABELS, spec: SPEC };
const SELECTOR = { matchLabels: { app: "demo" } };
const CONFIG = [
  { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings" }, data: { level: "3", other: "w x" } },
  {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "login" },
    data: { word: "dmFsdWU=" },
    stringData: { plain: "text" },
  },
];

const POD = { apiVersion: "v1", kind: "Pod", metadata: METADATA, spec: SPEC };

/** JSON is YAML. */
const yaml = (objects: readonly object[]) => objects.map((object) => JSON.stringify(object)).join("\n---\n");
const controller = (apiVersion: string, kind: string, spec: object) => ({
  apiVersion,
  kind,
  metadata: METADATA,
  spec,
});

test.each<[kind: string, object: object, pod: string]>([
  ["Pod", POD, "demo"],
  ["Pod with a generated name", { ...POD, metadata: { generateName: "demo-", ...LABELS } }, "demo-x7k2p"],
  ["List", { apiVersion: "v1", kind: "List", items: [POD] }, "demo"],
  [
    "Deployment",
    controller("apps/v1", "Deployment", { selector: SELECTOR, template: TEMPLATE }),
    "demo-5d4f8b7c9-abcde",
  ],
  ["DaemonSet", controller("apps/v1", "DaemonSet", { selector: SELECTOR, template: TEMPLATE }), "demo-abcde"],
  [
    "ReplicaSet",
    controller("apps/v1", "ReplicaSet", { selector: SELECTOR, template: TEMPLATE }),
    "demo-abcde",
  ],
  [
    "ReplicationController",
    controller("v1", "ReplicationController", { selector: { app: "demo" }, template: TEMPLATE }),
    "demo-abcde",
  ],
  [
    "StatefulSet",
    controller("apps/v1", "StatefulSet", { serviceName: "s", selector: SELECTOR, template: TEMPLATE }),
    "demo-0",
  ],
  ["Job", controller("batch/v1", "Job", { template: TEMPLATE }), "demo-abcde"],
  [
    "CronJob",
    controller("batch/v1", "CronJob", {
      schedule: "0 * * * *",
      jobTemplate: { spec: { template: TEMPLATE } },
    }),
    "demo-28501234-abcde",
  ],
])("a pod of a %s runs with its policy", async (_kind, object, name) => {
  const images = [...CASE_IMAGES, IMAGE];
  const together = await genpolicy(["-r"], { images, input: yaml([object, ...CONFIG]) });
  const apart = await genpolicy(["-r", "--config-file", "config.yaml"], {
    images,
    input: yaml([object]),
    files: { "config.yaml": yaml(CONFIG) },
  });
  expect([together.status, apart]).toEqual([0, together]);
  const data = policyDataOf(together.stdout);
  const policy = AgentPolicy.load(together.stdout);
  const running = { name, namespace: "default" };
  const decide = (kind: string, request: unknown) => policy.decide(kind, fromJson(request)).allowed;
  const create = (index: number, pod = running) =>
    decide("CreateContainerRequest", createRequest(data, index, pod));
  const exec = (command: string) => decide("ExecProcessRequest", execRequest(data, 2, running, [command]));
  expect(data.containers.length).toBe(3);
  expect([create(0), create(1), create(2)]).toEqual([true, true, true]);
  expect([exec("after"), exec("sh")]).toEqual([true, false]);
  expect(decide("RemoveContainerRequest", { container_id: containerId(2) })).toBe(true);
  expect([exec("after"), create(2), create(2, { ...running, name: "other" })]).toEqual([false, true, false]);
});
