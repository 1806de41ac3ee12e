/** Scenarios of CreateContainerRequest. */
import { type Change, changed, type Scenario, type Step, scenarioData } from "./rule-scenarios.ts";
import { containerId, createRequest, type RunningPod, SANDBOX_ID } from "./runtime-requests.ts";
import { strictPod } from "./strict-pod-scenario.ts";

const KIND = "CreateContainerRequest";

/** A pod without a name or namespace of its own, privileged, with a terminal, with processes and network shared. */
const LOOSE_POD = `
apiVersion: v1
kind: Pod
metadata: { labels: { a: b } }
spec:
  shareProcessNamespace: true
  containers:
  - name: tool
    image: quay.io/prometheus/busybox:latest
    command: [sh]
    tty: true
    env: [{ name: SPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }]
    securityContext: { privileged: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false }
`;

const PLAIN_POD = `
apiVersion: v1
kind: Pod
metadata: { name: plain, namespace: default }
spec:
  containers:
  - name: app
    image: example.com/app:1
    volumeMounts: [{ name: data, mountPath: /data }, { name: settings, mountPath: /settings }]
  volumes: [{ name: data, emptyDir: {} }, { name: settings, secret: { secretName: settings } }]
`;

const replace = (path: string, value: unknown) => ({ op: "replace", path, value });
const plus = (item: unknown) => (list: readonly unknown[]) => [...list, item];
const ANNOTATIONS = "OCI/Annotations";

export async function containerScenarios(): Promise<Scenario[]> {
  return [
    await strictPod(),
    await loosePod(),
    await verifiedPod("tarfs"),
    await verifiedPod("erofs"),
    await changesPod("block-plain"),
    await changesPod("block-encrypted"),
    await sharedPod(),
    await noNetworkPod(),
  ];
}

async function loosePod(): Promise<Scenario> {
  const data = await scenarioData(LOOSE_POD, [replace("/cluster_config/guest_pull", false)]);
  const running: RunningPod = { name: "any-name", namespace: "any" };
  const sandbox = createRequest(data, 0, running);
  const tool = createRequest(data, 1, running);
  const sys = tool.OCI.Mounts.findIndex((one) => one.destination === "/sys");
  return {
    name: "loose pod",
    data,
    steps: [
      { title: "sandbox", kind: KIND, request: changed(sandbox) },
      {
        title: "sandbox in another namespace",
        kind: KIND,
        request: changed(
          sandbox,
          [`${ANNOTATIONS}/io.kubernetes.cri.sandbox-namespace`, "two"],
          [`${ANNOTATIONS}/io.kubernetes.cri.sandbox-log-directory`, undefined],
        ),
        breaks: ["one_namespace"],
      },
      {
        title: "sandbox of another name",
        kind: KIND,
        request: changed(
          sandbox,
          [`${ANNOTATIONS}/io.kubernetes.cri.sandbox-name`, "two"],
          [`${ANNOTATIONS}/io.kubernetes.cri.sandbox-log-directory`, undefined],
        ),
        breaks: ["one_sandbox_name"],
      },
      {
        title: "sandbox without a name",
        kind: KIND,
        request: changed(
          sandbox,
          [`${ANNOTATIONS}/io.kubernetes.cri.sandbox-name`, undefined],
          [`${ANNOTATIONS}/io.kubernetes.cri.sandbox-log-directory`, undefined],
        ),
        breaks: [
          "one_sandbox_name",
          "process_args",
          "process_environment",
          "sandbox_name_allowed",
          "sandbox_network_annotation",
        ],
      },
      { title: "container", kind: KIND, request: changed(tool) },
      {
        title: "container with /sys read-only",
        kind: KIND,
        request: changed(tool, [`OCI/Mounts/${sys}/options`, ["nosuid", "noexec", "nodev", "ro"]]),
      },
      {
        title: "container with /sys read-only and one option less",
        kind: KIND,
        request: changed(tool, [`OCI/Mounts/${sys}/options`, ["nosuid", "noexec", "ro"]]),
        breaks: ["mounts_allowed"],
      },
      {
        title: "container with another namespace's variable",
        kind: KIND,
        request: changed(tool, ["OCI/Process/Env", (env: string[]) => [...env, "SPACE=other"]]),
        breaks: ["process_environment"],
      },
      {
        title: "container with usual capabilities only",
        kind: KIND,
        request: changed(tool, ["OCI/Process/Capabilities", sandbox.OCI.Process.Capabilities]),
        breaks: ["process_capabilities"],
      },
      {
        title: "container without its terminal",
        kind: KIND,
        request: changed(tool, ["OCI/Process/Terminal", false]),
        breaks: ["process_terminal"],
      },
      {
        title: "container with a writable root",
        kind: KIND,
        request: changed(tool, ["OCI/Root/Readonly", false]),
        breaks: ["root_readonly"],
      },
      {
        title: "container that may gain privileges",
        kind: KIND,
        request: changed(tool, ["OCI/Process/NoNewPrivileges", false]),
        breaks: ["process_no_new_privileges"],
      },
      {
        title: "container that sees no other processes",
        kind: KIND,
        request: changed(tool, ["sandbox_pidns", false]),
        breaks: ["sandbox_pidns"],
      },
      {
        title: "image pulled in the guest though the settings say no",
        kind: KIND,
        request: changed(tool, [
          "storages",
          [
            {
              driver: "image_guest_pull",
              source: tool.OCI.Annotations["io.kubernetes.cri.image-name"],
              mount_point: tool.OCI.Root.Path,
              fstype: "overlay",
              options: [],
              driver_options: [],
              fs_group: null,
            },
          ],
        ]),
        breaks: ["storages_allowed"],
      },
    ],
  };
}

async function verifiedPod(format: "tarfs" | "erofs"): Promise<Scenario> {
  const data = await scenarioData(PLAIN_POD, [
    replace("/common/image_layer_verification", `host-${format}-dm-verity`),
    replace("/cluster_config/guest_pull", false),
    replace("/common/root_path", "/run/kata-containers/shared/containers/$(bundle-id)/rootfs"),
  ]);
  const running: RunningPod = { name: "plain", namespace: "default" };
  const app = createRequest(data, 1, running);
  const refused = (title: string, ...changes: Change[]): Step => ({
    title,
    kind: KIND,
    request: changed(app, ...changes),
    breaks: ["storages_allowed"],
  });
  const overlay = app.storages.findIndex((storage) => storage.driver === "overlayfs");
  const hash = (text: string) => text.replace(/root-hash=./, "root-hash=g");
  return {
    name: `verified layers, ${format}`,
    data,
    steps: [
      { title: "container", kind: KIND, request: changed(app) },
      refused("layer with another hash", ["storages/0/options/3", hash]),
      refused("layer with an option more", ["storages/0/options", plus("rw")]),
      refused("layer that is not a device", ["storages/0/source", "/etc"]),
      refused("layer mounted elsewhere", ["storages/0/mount_point", "/run/kata-containers/sandbox/layers/x"]),
      refused("layer with a driver option", ["storages/0/driver_options", ["evil"]]),
      refused("layer for a group", ["storages/0/fs_group", { group_id: 0 }]),
      refused("layer of another file system", ["storages/0/fstype", "ext4"]),
      refused("layer by another driver", ["storages/0/driver", "scsi"]),
      refused("layers in place of each other", [
        "storages/0/options/3",
        `io.katacontainers.fs-opt.root-hash=${"0".repeat(64)}`,
      ]),
      refused("layer left out", ["storages", (all: readonly unknown[]) => all.slice(1)]),
      refused("one layer twice", [
        "storages/0",
        { ...app.storages[1], mount_point: `${app.storages[1]?.mount_point}` },
      ]),
      refused("overlay in another order", [
        `storages/${overlay}/options`,
        (options: string[]) => [options[0], options[2], options[1], ...options.slice(3)],
      ]),
      refused("overlay with an option more", [`storages/${overlay}/options`, plus("upperdir=/x")]),
      refused("overlay of other layers", [`storages/${overlay}/options/4`, "lowerdir=x"]),
      refused("overlay that is no copy", [`storages/${overlay}/options/3`, "evil"]),
      refused("overlay with another first option", [`storages/${overlay}/options/0`, "evil"]),
      refused("overlay at another place", [`storages/${overlay}/mount_point`, "/etc"]),
      refused("overlay from elsewhere", [`storages/${overlay}/source`, "/etc"]),
      refused("overlay of another type", [`storages/${overlay}/fstype`, "overlay"]),
      refused("overlay with a driver option", [`storages/${overlay}/driver_options`, ["evil"]]),
      refused("overlay for a group", [`storages/${overlay}/fs_group`, { group_id: 0 }]),
    ],
  };
}

/** Verified layers whose changes are on a disk. */
async function changesPod(kind: "block-plain" | "block-encrypted"): Promise<Scenario> {
  const data = await scenarioData(PLAIN_POD, [
    replace("/common/image_layer_verification", "host-erofs-dm-verity"),
    replace("/cluster_config/guest_pull", false),
    replace("/cluster_config/emptydir_type", "block-plain"),
    { op: "add", path: "/cluster_config/layer_changes", value: kind },
    replace("/common/root_path", "/run/kata-containers/shared/containers/$(bundle-id)/rootfs"),
  ]);
  const running: RunningPod = { name: "plain", namespace: "default" };
  const app = createRequest(data, 1, running);
  const refused = (title: string, ...changes: Change[]): Step => ({
    title,
    kind: KIND,
    request: changed(app, ...changes),
    breaks: ["storages_allowed"],
  });
  const disk = app.storages.findIndex(({ mount_point }) => `${mount_point}`.endsWith("/changes"));
  const overlay = app.storages.findIndex(({ driver }) => driver === "overlayfs");
  const mount = app.OCI.Mounts.findIndex((one) => one.destination === "/data");
  return {
    name: `changes of layers, ${kind}`,
    data,
    steps: [
      { title: "container", kind: KIND, request: changed(app) },
      {
        title: "container, by SCSI",
        kind: KIND,
        request: changed(app, [`storages/${disk}/driver`, "scsi"], [`storages/${disk}/source`, "0:1"]),
      },
      refused("changes on a disk that is none", [`storages/${disk}/source`, "/etc"]),
      refused("changes on another kind of disk", [
        `storages/${disk}/driver_options`,
        kind === "block-plain" ? ["encryption_key=ephemeral", "create_filesystem"] : ["create_filesystem"],
      ]),
      refused("changes on a disk that is mounted otherwise", [`storages/${disk}/options`, ["suid"]]),
      refused("changes on a disk elsewhere", [`storages/${disk}/mount_point`, "/etc"]),
      refused("changes in memory", [
        `storages/${overlay}/options`,
        (options: readonly string[]) => options.slice(0, -1),
      ]),
      refused("changes on two disks", [`storages/${overlay}/options`, plus("upperdir=/x")]),
      refused("changes without a disk", ["storages", (all: readonly unknown[]) => all.toSpliced(disk, 1)]),
      {
        title: "volume that is the disk for changes",
        kind: KIND,
        request: changed(app, [`OCI/Mounts/${mount}/source`, "/run/kata-containers/sandbox/changes"]),
        breaks: ["mounts_allowed"],
      },
    ],
  };
}

async function sharedPod(): Promise<Scenario> {
  const data = await scenarioData(PLAIN_POD, [
    replace("/cluster_config/guest_pull", false),
    replace("/cluster_config/emptydir_type", "shared-fs"),
    replace("/kata_config/enable_configmap_secret_storages", true),
    replace("/common/root_path", "^$(cpath)/$(bundle-id)/rootfs$"),
    replace("/volumes/configMap/driver", "watchable-bind"),
    replace("/volumes/configMap/mount_point", "^$(cpath)/watchable/$(bundle-id)-[a-z0-9]{16}-"),
  ]);
  // A pattern with its own end cannot be made concrete by rule, so the request is put right here.
  const app = createRequest(data, 1, { name: "plain", namespace: "default" });
  const id = containerId(1);
  const watched = `/run/kata-containers/shared/containers/watchable/${id}-0123456789abcdef-settings`;
  const mount = app.OCI.Mounts.findIndex((one) => one.destination === "/settings");
  const request = changed(app, [`OCI/Mounts/${mount}/source`, watched], ["storages/1/mount_point", watched]);
  const refused = (title: string, ...changes: Change[]): Step => ({
    title,
    kind: KIND,
    request: changed(request, ...changes),
    breaks: ["storages_allowed"],
  });
  return {
    name: "shared directories",
    data,
    steps: [
      { title: "container", kind: KIND, request },
      refused("directory of another volume", [
        "storages/0/mount_point",
        `/run/kata-containers/shared/containers/${SANDBOX_ID}/rootfs/local/other`,
      ]),
      refused("directory with another mode", ["storages/0/options", ["mode=0755"]]),
      refused("file of another container", [
        "storages/1/source",
        `/run/kata-containers/shared/containers/${SANDBOX_ID}-0123456789abcdef-settings`,
      ]),
    ],
  };
}

/** Where the runtime leaves the network out of the spec, it must do so for all containers. */
async function noNetworkPod(): Promise<Scenario> {
  const data = await scenarioData(PLAIN_POD);
  const running: RunningPod = { name: "plain", namespace: "default" };
  const withoutNetwork: Change = ["OCI/Linux/Namespaces", (all: readonly unknown[]) => all.slice(0, 3)];
  const sandbox = createRequest(data, 0, running);
  return {
    name: "no network namespace",
    data,
    steps: [
      { title: "sandbox", kind: KIND, request: changed(sandbox, withoutNetwork) },
      { title: "container", kind: KIND, request: changed(createRequest(data, 1, running), withoutNetwork) },
      {
        title: "sandbox with a network",
        kind: KIND,
        request: changed(sandbox),
        breaks: ["one_network_namespace"],
      },
    ],
  };
}
