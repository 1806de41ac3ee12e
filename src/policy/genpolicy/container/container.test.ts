/** What a container's policy is made of: users, environment, capabilities, mounts, storages, layers. */
import { describe, expect, test } from "vitest";
import { CASE_IMAGES, type TestImage } from "../testing/image-layout.ts";
import { imageOf, policyFor } from "../testing/policy-maker.ts";
import { policyDataOf } from "../testing/runtime-requests.ts";
import { containerUser, pauseUser } from "./user.ts";

const PASSWD = "root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n# comment\n";
const GROUP = "root:x:0:\nlogs:x:5:web,root\ndata:x:6:web\nbroken\n";

const security = (values: object = {}) => ({
  runAsUser: undefined,
  runAsGroup: undefined,
  fsGroup: undefined,
  supplementalGroups: [],
  sysctls: {},
  ...values,
});

describe("a container's user", () => {
  const container = (values: object = {}) => ({
    security: { runAsUser: undefined, runAsGroup: undefined, ...values },
  });
  const user = (UID: number, GID: number, ...AdditionalGids: number[]) => ({
    UID,
    GID,
    AdditionalGids,
    Username: "",
  });

  test.each<[string, string, object, object, ReturnType<typeof user>]>([
    ["root", "", {}, {}, user(0, 0, 0, 5)],
    ["the image's by name", "web", {}, {}, user(33, 34, 5, 6, 34)],
    ["the image's by number", "33", {}, {}, user(33, 34, 5, 6, 34)],
    ["the image's without the group that it names", "33:99", {}, {}, user(33, 34, 5, 6, 34)],
    ["unknown to the image", "77:88", {}, {}, user(77, 0, 0)],
    ["the pod's", "web", { runAsUser: 1 }, {}, user(1, 0, 0)],
    ["the pod's with a group", "web", { runAsUser: 1, runAsGroup: 2 }, {}, user(1, 2, 2)],
    [
      "the container's before the pod's",
      "web",
      { runAsUser: 1, runAsGroup: 2 },
      { runAsUser: 33 },
      user(33, 2, 2, 5, 6),
    ],
    ["with groups of volumes", "", { fsGroup: 9, supplementalGroups: [8, 5] }, {}, user(0, 0, 0, 5, 8, 9)],
  ])("is %s", (_what, imageUser, pod, own, expected) => {
    const image = imageOf("example.com/a", { User: imageUser }, { passwd: PASSWD, group: GROUP });
    const one = { ...EMPTY_CONTAINER, ...container(own) };
    expect(
      containerUser(security(pod), { ...one, security: { ...EMPTY_CONTAINER.security, ...own } }, image),
    ).toEqual(expected);
  });

  test.each<[string, "own-group" | "none", object, ReturnType<typeof user>]>([
    ["the settings'", "own-group", {}, user(65535, 65535, 65535)],
    ["the settings' without groups", "none", {}, user(65535, 65535)],
    ["the pod's", "own-group", { runAsUser: 5 }, user(5, 0, 0)],
    ["the pod's with its group", "none", { runAsUser: 5, runAsGroup: 6 }, user(5, 6, 6)],
  ])("of the sandbox is %s", (_what, groups, pod, expected) => {
    const fallback = { uid: 65535, gid: 65535, username: "" };
    expect(pauseUser(security(pod), imageOf("pause", { User: "65535:65535" }), fallback, groups)).toEqual(
      expected,
    );
  });
});

const EMPTY_CONTAINER = {
  name: "a",
  image: "a",
  command: undefined,
  args: undefined,
  workingDir: "",
  tty: false,
  env: [],
  envFrom: [],
  security: {
    runAsUser: undefined,
    runAsGroup: undefined,
    privileged: false,
    readOnlyRoot: false,
    allowsPrivilegeEscalation: true,
    addedCapabilities: [],
    droppedCapabilities: [],
  },
  volumeMounts: [],
  devicePaths: [],
  terminationMessagePath: undefined,
  execCommands: [],
  limits: {},
};

const APP: TestImage = {
  name: "example.com/app:1",
  env: ["PATH=/bin", "MODE=image"],
  entrypoint: ["/entry"],
  cmd: ["run"],
  workingDir: "/srv",
  volumes: ["//cache", "/data"],
  layers: [{ "etc/passwd": PASSWD, "etc/group": GROUP }, { "etc/.wh.group": "" }],
};

/** The policy of container `web` of a pod with these fields. */
async function container(
  fields: object,
  spec: object = {},
  settingsPatch: readonly unknown[] = [],
  more: readonly object[] = [],
) {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "n", annotations: { known: "yes" }, labels: { app: "shop" } },
    spec: {
      serviceAccountName: "robot",
      containers: [{ name: "web", image: "example.com/app:1", ...fields }],
      ...spec,
    },
  };
  const input = [...more, pod].map((document) => JSON.stringify(document)).join("\n---\n");
  const policy = policyDataOf(await policyFor(input, { settingsPatch, images: [...CASE_IMAGES, APP] }));
  const [, web] = policy.containers;
  if (web === undefined) throw new Error("no container");
  return web;
}

const replace = (path: string, value: unknown) => ({ op: "replace", path, value });

describe("a container's command", () => {
  test.each([
    [{}, ["/entry", "run"]],
    [{ args: ["x"] }, ["/entry", "x"]],
    [{ command: ["sh"] }, ["sh"]],
    [{ command: ["sh"], args: ["x"] }, ["sh", "x"]],
    [{ args: ["$(A)", "$$(A)", "$(B)"], env: [{ name: "A", value: "1" }] }, ["/entry", "1", "$$(A)", "$(B)"]],
  ])("of %j is made from pod and image", async (fields, expected) => {
    expect((await container(fields)).OCI.Process.Args).toEqual(expected);
  });
});

describe("a container's environment", () => {
  const from = (name: string, valueFrom: object) => ({ name, valueFrom });
  const field = (fieldPath: string) => ({ fieldRef: { fieldPath } });

  test("has the image's and the pod's variables from every source", async () => {
    const objects = [
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data: { k: "v", MODE: "map" } },
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "s" },
        data: { k: "c2VjcmV0" },
        stringData: { t: "text" },
      },
    ];
    const env = [
      { name: "PLAIN", value: "1" },
      { name: "TWICE", value: "$(PLAIN)$(PLAIN)-$(S_k)-$(NOT)" },
      { name: "EMPTY" },
      from("MAP", { configMapKeyRef: { name: "c", key: "k" } }),
      from("NONE", { configMapKeyRef: { name: "gone", key: "k", optional: true } }),
      from("SECRET", { secretKeyRef: { name: "s", key: "k" } }),
      from("NAME", field("metadata.name")),
      from("SPACE", field("metadata.namespace")),
      from("UID", field("metadata.uid")),
      from("ACCOUNT", field("spec.serviceAccountName")),
      from("NODE", field("spec.nodeName")),
      from("HOST", field("status.hostIP")),
      from("IP", field("status.podIP")),
      from("LABEL", field("metadata.labels['app']")),
      from("NOTE", field("metadata.annotations['known']")),
      from("LATER", field("metadata.annotations['later']")),
      from("CPU", { resourceFieldRef: { resource: "limits.cpu" } }),
    ];
    const envFrom = [
      { configMapRef: { name: "c" } },
      { secretRef: { name: "s" }, prefix: "S_" },
      { secretRef: { name: "x", optional: true } },
    ];
    const web = await container({ env, envFrom, tty: true }, {}, [], objects);
    expect(web.OCI.Process.Env).toEqual([
      "PATH=/bin",
      "MODE=map",
      "TERM=xterm",
      "HOSTNAME=$(host-name)",
      "k=v",
      "S_k=secret",
      "S_t=text",
      "PLAIN=1",
      "TWICE=11-secret-$(NOT)",
      "EMPTY=",
      "MAP=v",
      "SECRET=secret",
      "NAME=$(sandbox-name)",
      "SPACE=n",
      "UID=$(pod-uid)",
      "ACCOUNT=robot",
      "NODE=$(node-name)",
      "HOST=$(host-ip)",
      "IP=$(pod-ip)",
      "LABEL=shop",
      "NOTE=yes",
      "LATER=$(todo-annotation)",
      "CPU=$(resource-field)",
    ]);
  });

  test.each([
    [{ secretKeyRef: { name: "gone", key: "k" } }, /no Secret gone is given/],
    [{ fieldRef: { fieldPath: "status.phase" } }, /knows no such field/],
  ])("fails on %j", async (valueFrom, message) => {
    await expect(container({ env: [from("X", valueFrom)] })).rejects.toThrow(message);
  });
});

test.each<[object, string[]]>([
  [{}, ["$(default_caps)"]],
  [{ privileged: true }, ["$(privileged_caps)"]],
  [{ capabilities: { add: ["CHOWN"] } }, ["$(default_caps)"]],
  [{ capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } }, ["CAP_NET_ADMIN"]],
  [{ capabilities: { drop: ["ALL"] } }, []],
])("capabilities of %j are the container manager's", async (securityContext, expected) => {
  const { Bounding, Effective, Permitted, Ambient } = (await container({ securityContext })).OCI.Process
    .Capabilities;
  expect([Bounding, Effective, Permitted, Ambient]).toEqual([expected, expected, expected, []]);
});

test("probes and hooks give the commands that may be run, with variables written out in the pod", async () => {
  const exec = (...command: string[]) => ({ exec: { command } });
  const web = await container({
    env: [{ name: "A", value: "1" }],
    livenessProbe: exec("live", "$(A)"),
    readinessProbe: { httpGet: { port: 1 } },
    startupProbe: exec("start"),
    lifecycle: { postStart: exec("after"), preStop: exec("before") },
  });
  expect(web.exec_commands).toEqual([["live", "1"], ["start"], ["after"], ["before"]]);
});

test("every kind of volume has its mount", async () => {
  const volumes = [
    { name: "empty", emptyDir: {} },
    { name: "ram", emptyDir: { medium: "Memory" } },
    { name: "map", configMap: { name: "c" } },
    { name: "secret", secret: { secretName: "s" } },
    { name: "projected", projected: { sources: [] } },
    { name: "down", downwardAPI: { items: [] } },
    { name: "claim", persistentVolumeClaim: { claimName: "c" } },
    { name: "azure", azureFile: { secretName: "s", shareName: "x" } },
    { name: "csi", csi: { driver: "d" } },
    { name: "host", hostPath: { path: "/srv/data" } },
    { name: "tty", hostPath: { path: "/dev/ttyS0" } },
  ];
  const volumeMounts = [
    ...volumes.map(({ name }) => ({ name, mountPath: `/m/${name}` })),
    { name: "claim", mountPath: "/m/ro", readOnly: true, mountPropagation: "HostToContainer" },
    { name: "ram", mountPath: "/m/part.d", subPath: "a/b" },
  ];
  const web = await container({ volumeMounts, terminationMessagePath: "/end" }, { volumes });
  const mounts = web.OCI.Mounts.filter(({ destination }) => /^\/(m|cache|data|end)/.test(destination));
  const rows = mounts.map(({ destination, source, type_, options }) => [
    destination,
    type_,
    source,
    options.join(),
  ]);
  expect(rows).toEqual([
    ["/end", "bind", "$(sfprefix)end$", "rbind,rprivate,rw"],
    ["/m/empty", "bind", "$(spath)/$(b64_device_id)", "rbind,rprivate,rw"],
    ["/m/ram", "bind", "^/run/kata-containers/sandbox/ephemeral/ram$", "rbind,rprivate,rw"],
    ["/m/map", "bind", "$(sfprefix)map$", "rbind,rprivate,ro"],
    ["/m/secret", "bind", "$(sfprefix)secret$", "rbind,rprivate,ro"],
    ["/m/projected", "bind", "$(sfprefix)projected$", "rbind,rprivate,ro"],
    ["/m/down", "bind", "$(sfprefix)down$", "rbind,rprivate,ro"],
    ["/m/claim", "bind", "$(sfprefix)claim$", "rbind,rprivate,rw"],
    ["/m/azure", "bind", "$(sfprefix)azure$", "rbind,rprivate,rw"],
    ["/m/csi", "bind", "$(sfprefix)csi$", "rbind,rprivate,rw"],
    ["/m/host", "bind", "$(sfprefix)host$", "rbind,rprivate,rw"],
    ["/m/tty", "bind", "/dev/ttyS0", "rbind,rprivate,rw"],
    ["/m/ro", "bind", "$(sfprefix)ro$", "rbind,rslave,ro"],
    ["/m/part.d", "bind", "^/run/kata-containers/sandbox/ephemeral/ram/a/b$", "rbind,rprivate,rw"],
    ["/cache", "bind", "$(sfprefix)cache$", "rbind,rprivate,rw"],
    ["/data", "bind", "$(sfprefix)data$", "rbind,rprivate,rw"],
  ]);
  expect(web.storages.map(({ driver, fstype, mount_point }) => [driver, fstype, mount_point])).toEqual([
    ["", "ext4", "$(spath)/$(b64_device_id)"],
    ["ephemeral", "tmpfs", "^/run/kata-containers/sandbox/ephemeral/ram$"],
  ]);
});

test("a mount of a volume that the pod has not is an error", async () => {
  await expect(container({ volumeMounts: [{ name: "x", mountPath: "/x" }] })).rejects.toThrow(
    "the pod has no volume x",
  );
});

test("users that only a pulled image has must be the pod's own words", async () => {
  const images = [...CASE_IMAGES, { ...APP, user: "33" }];
  const pod = JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    spec: { containers: [{ name: "web", image: "example.com/app:1" }] },
  });
  await expect(policyFor(pod, { images })).rejects.toThrow(
    "write into the pod's securityContext: runAsUser: 33",
  );
});

test("users of an image that the host pulls come from its layers", async () => {
  const settingsPatch = [replace("/cluster_config/guest_pull", false)];
  const pod = JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    spec: { containers: [{ name: "web", image: "example.com/app:1" }] },
  });
  const policy = await policyFor(pod, { settingsPatch, images: [...CASE_IMAGES, { ...APP, user: "web" }] });
  // The upper layer removes the file of groups.
  expect(policyDataOf(policy).containers[1]?.OCI.Process.User).toEqual({
    UID: 33,
    GID: 34,
    AdditionalGids: [34],
    Username: "",
  });
});

test("layers are bound by their root hashes, the top one first", async () => {
  const settingsPatch = [
    replace("/cluster_config/guest_pull", false),
    replace("/common/image_layer_verification", "host-tarfs-dm-verity"),
  ];
  const web = await container({}, {}, settingsPatch);
  expect(
    web.storages.map(({ driver, fstype, options, mount_point }) => [
      driver,
      fstype,
      options.length,
      mount_point,
    ]),
  ).toEqual([
    ["blk", "tar", 1, "$(layer0)"],
    ["blk", "tar", 1, "$(layer1)"],
    ["overlayfs", "fuse3.kata-overlay", 2, "$(root_path)"],
  ]);
  const [ids = "", hashes = ""] = web.storages[2]?.options ?? [];
  expect([ids, hashes].map((list) => list.split(":").map((hex) => /^[0-9a-f]{64}$/.test(hex)))).toEqual([
    [true, true],
    [true, true],
  ]);
});

test.each([
  ["block-plain", ["create_filesystem"]],
  ["block-encrypted", ["encryption_key=ephemeral", "create_filesystem"]],
])("changes of layers go to a disk, %s, unless the root is read-only", async (kind, driverOptions) => {
  const settingsPatch = [
    replace("/cluster_config/guest_pull", false),
    replace("/common/image_layer_verification", "host-erofs-dm-verity"),
    { op: "add", path: "/cluster_config/layer_changes", value: kind },
  ];
  const { storages } = await container({}, {}, settingsPatch);
  expect(storages.slice(2)).toEqual([
    {
      driver: "",
      driver_options: driverOptions,
      source: "",
      fstype: "ext4",
      options: [],
      mount_point: "/run/kata-containers/sandbox/changes",
      fs_group: null,
      shared: true,
    },
    expect.objectContaining({ driver: "overlayfs", mount_point: "$(root_path)" }),
  ]);
  expect(storages[3]?.options[2]).toBe("io.katacontainers.fs-opt.changes-on-disk");
  const readOnly = await container({ securityContext: { readOnlyRootFilesystem: true } }, {}, settingsPatch);
  expect(readOnly.storages.map(({ driver, options }) => [driver, options.length])).toEqual([
    ["blk", 1],
    ["blk", 1],
    ["overlayfs", 2],
  ]);
});
