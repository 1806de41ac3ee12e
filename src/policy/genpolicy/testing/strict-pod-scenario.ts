/** The scenario of a pod that says much of itself. */

import { type Change, changed, type Scenario, type Step, scenarioData } from "./rule-scenarios.ts";
import { containerId, createRequest, type RunningPod, SANDBOX_ID } from "./runtime-requests.ts";

const KIND = "CreateContainerRequest";

const POD = `
apiVersion: v1
kind: Pod
metadata:
  name: web.1
  namespace: shop
  annotations: { team: blue }
spec:
  securityContext:
    runAsUser: 1000
    runAsGroup: 1000
    supplementalGroups: [10]
    fsGroup: 20
    sysctls: [{ name: net.ipv4.ip_forward, value: 1 }]
  initContainers:
  - name: prepare
    image: quay.io/prometheus/busybox:latest
    command: [echo, ready]
  containers:
  - name: app
    image: example.com/app:1@sha256:3d380ca8864549e74af4b29c10f9cb0956236dfb01c40ca076fb6c37253234db
    args: [--node=$(NODE), --pod=$(POD), --price=$$5]
    env:
    - { name: NODE, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
    - { name: POD, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
    - { name: PLACE, value: in $(POD).svc }
    - { name: ADDRESS, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
    - { name: UID_OF_POD, valueFrom: { fieldRef: { fieldPath: metadata.uid } } }
    - { name: CPUS, valueFrom: { resourceFieldRef: { resource: limits.cpu } } }
    - { name: NOTE, valueFrom: { fieldRef: { fieldPath: "metadata.annotations['note']" } } }
    livenessProbe: { exec: { command: [/app, --alive] } }
    securityContext: { capabilities: { add: [SYS_TIME], drop: [MKNOD] } }
    volumeMounts:
    - { name: data, mountPath: /data }
    - { name: data, mountPath: /more, readOnly: true }
    - { name: ram, mountPath: /ram }
    - { name: settings, mountPath: /settings }
    volumeDevices: [{ name: disk, devicePath: /dev/xvda }]
    resources: { limits: { nvidia.com/pgpu: "1" } }
  volumes:
  - { name: data, emptyDir: {} }
  - { name: ram, emptyDir: { medium: Memory } }
  - { name: settings, configMap: { name: settings } }
`;

const without = (text: string) => (list: readonly string[]) => list.filter((item) => item !== text);
const plus = (item: unknown) => (list: readonly unknown[]) => [...list, item];
const ANNOTATIONS = "OCI/Annotations";

const RUNNING: RunningPod = { name: "web.1", namespace: "shop" };
const SANDBOX = 0;
const INIT = 1;
const APP = 2;

export async function strictPod(): Promise<Scenario> {
  const data = await scenarioData(POD);
  const request = (index: number) => createRequest(data, index, RUNNING);
  const app = request(APP);
  const mount = (destination: string) => app.OCI.Mounts.findIndex((one) => one.destination === destination);
  const variable = (name: string) => app.OCI.Process.Env.findIndex((one) => one.startsWith(`${name}=`));
  const storage = (driver: string) => app.storages.findIndex((one) => one.driver === driver);
  const refused = (title: string, breaks: string, ...changes: Change[]): Step => ({
    title,
    kind: KIND,
    request: changed(app, ...changes),
    breaks: breaks.split(" "),
  });
  const allowed = (title: string, ...changes: Change[]): Step => ({
    title,
    kind: KIND,
    request: changed(app, ...changes),
  });
  const create = (title: string, index: number, breaks?: string, ...changes: Change[]): Step => ({
    title,
    kind: KIND,
    request: changed(request(index), ...changes),
    breaks: breaks?.split(" "),
  });
  const data0 = `OCI/Mounts/${mount("/data")}`;
  const cgroup = `OCI/Mounts/${mount("/sys/fs/cgroup")}/options`;
  const blk = storage("blk");
  const pull = `storages/${storage("image_guest_pull")}`;
  const memory = `storages/${storage("ephemeral")}`;
  const gpu = app.devices.findIndex((device) => device.id === "vfio0");
  const disk = app.devices.findIndex((device) => device.id === "block-1");
  return {
    name: "strict pod",
    data,
    steps: [
      // Nothing is remembered of a refused request, so the first one may be of any container.
      create("sandbox of another name", SANDBOX, "sandbox_name_allowed sandbox_log_directory", [
        `${ANNOTATIONS}/io.kubernetes.cri.sandbox-name`,
        "webx1",
      ]),
      create("sandbox in another namespace", SANDBOX, "sandbox_namespace_allowed sandbox_log_directory", [
        `${ANNOTATIONS}/io.kubernetes.cri.sandbox-namespace`,
        "other",
      ]),
      create("sandbox with a malformed id", SANDBOX, "sandbox_id_allowed", [
        `${ANNOTATIONS}/io.kubernetes.cri.sandbox-id`,
        "../x",
      ]),
      create("sandbox that logs elsewhere", SANDBOX, "sandbox_log_directory", [
        `${ANNOTATIONS}/io.kubernetes.cri.sandbox-log-directory`,
        "/var/log/pods/shop_webx1_9c64c5bf-298f-46c4-ad63-e2270a2ff44c",
      ]),
      create("sandbox on a strange network", SANDBOX, "sandbox_network_annotation", [
        `${ANNOTATIONS}/nerdctl~1network-namespace`,
        "/proc/1/ns/net",
      ]),
      create("sandbox from an image of the host's choice", SANDBOX, "storages_allowed", [
        "storages/0/source",
        "example.com/pause:1",
      ]),
      create("sandbox with a kernel parameter more", SANDBOX, "linux_sysctl", [
        "OCI/Linux/Sysctl/kernel.core_pattern",
        "|/evil",
      ]),
      create("sandbox with a kernel parameter changed", SANDBOX, "linux_sysctl", [
        "OCI/Linux/Sysctl/net.ipv4.ip_forward",
        "0",
      ]),
      create("sandbox with two networks", SANDBOX, "one_network_namespace", [
        "OCI/Linux/Namespaces",
        plus({ Type: "network", Path: "/run/netns/other" }),
      ]),
      create(
        "container whose id is a key of the memory",
        SANDBOX,
        "one_use_of_container_id",
        ["container_id", "namespace"],
        ["OCI/Root/Path", "/run/kata-containers/namespace/rootfs"],
        ["OCI/Mounts", []],
        ["storages", []],
      ),
      create("sandbox", SANDBOX),
      create("sandbox again, without annotations that are optional", SANDBOX, undefined, [
        "OCI/Annotations",
        ({
          "nerdctl/network-namespace": _,
          "io.kubernetes.cri.sandbox-log-directory": __,
          ...rest
        }: Record<string, string>) => rest,
      ]),
      create("init container", INIT),
      create(
        "container in another sandbox",
        APP,
        "sandbox_name_allowed one_sandbox_name process_args process_environment",
        [`${ANNOTATIONS}/io.kubernetes.cri.sandbox-name`, "web.2"],
      ),
      create(
        "container with the id of another",
        APP,
        "one_use_of_container_id",
        ["container_id", containerId(INIT)],
        [
          "OCI",
          (spec: object) => JSON.parse(JSON.stringify(spec).replaceAll(containerId(APP), containerId(INIT))),
        ],
        ["storages/0/mount_point", `/run/kata-containers/${containerId(INIT)}/rootfs`],
      ),
      create("container on another network", APP, "one_network_namespace", [
        "OCI/Linux/Namespaces/3/Path",
        "/run/netns/other",
      ]),
      allowed("container"),
      allowed("container again"),
      allowed(
        "container with lists in another order",
        ["OCI/Process/Capabilities/Bounding", (names: readonly string[]) => names.toReversed()],
        ["OCI/Process/User/AdditionalGids", (ids: readonly number[]) => ids.toReversed()],
        ["OCI/Linux/Namespaces", (all: readonly unknown[]) => all.toReversed()],
      ),
      allowed(
        "container without fields that are their defaults",
        ["string_user", undefined],
        ["shared_mounts", undefined],
        ["OCI/Hooks", undefined],
        ["OCI/Process/SelinuxLabel", undefined],
        ["OCI/Linux/Resources", undefined],
      ),
      allowed("container without optional mounts", [
        "OCI/Mounts",
        (mounts: readonly { destination: string }[]) =>
          mounts.filter(({ destination }) => destination !== "/ram"),
      ]),
      allowed("container whose image is already there", [
        "storages",
        (all: readonly { driver: string }[]) => all.filter(({ driver }) => driver !== "image_guest_pull"),
      ]),
      allowed("container whose image name has a tag beside the digest", [
        `${pull}/source`,
        (name: string) => name.replace("@", ":1@"),
      ]),
      allowed("container with a control group namespace", [
        "OCI/Linux/Namespaces",
        plus({ Type: "cgroup", Path: "" }),
      ]),
      allowed(
        "container with more hidden and read-only",
        ["OCI/Linux/MaskedPaths", plus("/proc/more")],
        ["OCI/Linux/ReadonlyPaths", plus("/proc/bus2")],
      ),
      allowed(
        "container with a read-only path hidden instead",
        ["OCI/Linux/ReadonlyPaths", without("/proc/asound")],
        ["OCI/Linux/MaskedPaths", plus("/proc/asound")],
      ),
      allowed("container with options of a newer kernel's control groups", [cgroup, plus("nsdelegate")]),
      allowed("container with variables of services", [
        "OCI/Process/Env",
        (env: string[]) => [
          ...env,
          "KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443",
          "DB_SERVICE_HOST=10.0.0.2",
          "DB_SERVICE_PORT_HTTP=80",
        ],
      ]),
      allowed(
        "container whose disk is on SCSI",
        [`storages/${blk}/driver`, "scsi"],
        [`storages/${blk}/source`, "0:1"],
        [`storages/${blk}/mount_point`, "/run/kata-containers/sandbox/storage/MDox"],
        [`${data0}/source`, "/run/kata-containers/sandbox/storage/MDox"],
      ),
      allowed("container whose accelerator was attached before", [
        "devices",
        (all: readonly { id: string }[]) => all.filter(({ id }) => id !== "vfio0"),
      ]),
      allowed("container without an id", ["container_id", ""]),
      ...[
        ["Hooks", { Prestart: [{ Path: "/evil" }] }, "no_hooks"],
        ["Solaris", {}, "no_foreign_platform"],
        ["Windows", {}, "no_foreign_platform"],
        ["Version", "1.0.0", "oci_version"],
        ["Root/Readonly", true, "root_readonly"],
        ["Linux/UIDMappings", [{ HostID: 0 }], "no_id_mappings"],
        ["Linux/GIDMappings", [{ HostID: 0 }], "no_id_mappings"],
        ["Linux/MountLabel", "system_u", "no_security_labels"],
        ["Linux/RootfsPropagation", "shared", "no_security_labels"],
        ["Linux/Seccomp", { DefaultAction: "allow" }, "no_seccomp_profile"],
        ["Linux/IntelRdt", { ClosID: "x" }, "no_host_resources"],
        ["Linux/Resources/Devices", [{ Allow: true }], "no_host_resources"],
        ["Linux/Resources/BlockIO", {}, "no_host_resources"],
        ["Linux/Resources/Network", {}, "no_host_resources"],
        ["Linux/Resources/Pids", {}, "no_host_resources"],
        ["Process/SelinuxLabel", "system_u", "no_security_labels"],
        ["Process/User/Username", "root", "no_security_labels"],
        ["Process/User/UID", 0, "process_user"],
        ["Process/User/GID", 0, "process_user"],
        ["Process/User/AdditionalGids", [10, 20, 1000, 0], "process_user"],
        ["Process/User/AdditionalGids", [10, 1000], "process_user"],
        ["Process/Cwd", "/", "process_cwd"],
        ["Process/Terminal", true, "process_terminal"],
        ["Process/NoNewPrivileges", true, "process_no_new_privileges"],
        ["Process/Capabilities/Effective", plus("CAP_SYS_ADMIN"), "process_capabilities"],
        ["Process/Capabilities/Bounding", without("CAP_CHOWN"), "process_capabilities"],
        ["Process/Capabilities/Ambient", ["CAP_CHOWN"], "process_capabilities"],
        ["Process/Capabilities/Inheritable", ["CAP_CHOWN"], "process_capabilities"],
        ["Process/Capabilities/Permitted", [], "process_capabilities"],
        ["Process/Args/0", "/bin/sh", "process_args"],
        ["Process/Args", plus("--more"), "process_args"],
        ["Process/Args", [], "process_args"],
        ["Process/Args/1", "--node=a b", "process_args"],
        ["Process/Args/2", "--pod=webx1", "process_args"],
        ["Process/Args/3", "--price=$$5x", "process_args"],
        ["Process/Env", plus("LD_PRELOAD=/evil.so"), "process_environment"],
        [`Process/Env/${variable("PLACE")}`, "PLACE=in webx1.svc", "process_environment"],
        [`Process/Env/${variable("ADDRESS")}`, "ADDRESS=example.com", "process_environment"],
        [`Process/Env/${variable("UID_OF_POD")}`, "UID_OF_POD=1", "process_environment"],
        [`Process/Env/${variable("CPUS")}`, "CPUS=many", "process_environment"],
        ["Linux/Namespaces/0/Path", "/proc/1/ns/ipc", "linux_namespaces"],
        ["Linux/Namespaces/0/Type", "pid", "linux_namespaces"],
        ["Linux/Namespaces", plus({ Type: "user", Path: "" }), "linux_namespaces"],
        ["Linux/MaskedPaths", without("/proc/kcore"), "linux_masked_paths"],
        ["Linux/ReadonlyPaths", without("/proc/sys"), "linux_readonly_paths"],
        ["Linux/Devices", plus({ Path: "/dev/mem" }), "linux_devices"],
        ["Annotations/evil", "1", "annotations_known"],
        ["Annotations/team", "red", "annotations_known"],
        ["Annotations/io.katacontainers.config.x", "1", "annotations_known"],
        ["Annotations/io.kubernetes.container.terminationMessagePath", "no path", "annotations_known"],
        ["Annotations/io.katacontainers.pkg.oci.container_type", "pod_sandbox", "container_type"],
        ["Annotations/io.kubernetes.cri.container-name", "prepare2", "known_container"],
        ["Annotations/io.kubernetes.cri.container-type", "sandbox", "known_container"],
      ].map(([path, value, breaks]) => ({
        ...refused(`container with another ${path}`, String(breaks), [`OCI/${path}`, value]),
        breaks: breaks === "" ? [] : String(breaks).split(" "),
      })),
      refused("container with a user by name", "no_string_user", ["string_user", { uid: "0" }]),
      refused("container with mounts of another", "no_shared_mounts", ["shared_mounts", [{ name: "x" }]]),
      refused("container that sees all processes", "sandbox_pidns", ["sandbox_pidns", true]),
      refused("container in the root of another", "root_path mounts_allowed storages_allowed", [
        "OCI/Root/Path",
        `/run/kata-containers/${SANDBOX_ID}/rootfs`,
      ]),
      refused("container rooted in a shared directory", "root_path mounts_allowed storages_allowed", [
        "OCI/Root/Path",
        `/run/kata-containers/shared/containers/${containerId(APP)}/rootfs`,
      ]),
      // Mounts
      refused("mount that the pod has not", "mounts_allowed", [
        "OCI/Mounts",
        plus({ destination: "/evil", source: "/", type_: "bind", options: ["rbind"] }),
      ]),
      refused("mount twice", "mounts_allowed", [
        "OCI/Mounts",
        (mounts: readonly unknown[]) => [...mounts, mounts[mount("/etc/hosts")]],
      ]),
      refused("mount from elsewhere", "mounts_allowed", [
        `OCI/Mounts/${mount("/etc/hosts")}/source`,
        "/etc/shadow",
      ]),
      refused("mount from above the shared directory", "mounts_allowed", [
        `OCI/Mounts/${mount("/etc/hosts")}/source`,
        `/run/kata-containers/shared/containers/${containerId(APP)}-0123456789abcdef-x/../../hosts`,
      ]),
      refused("mount of another container's file", "mounts_allowed", [
        `OCI/Mounts/${mount("/etc/hosts")}/source`,
        `/run/kata-containers/shared/containers/${containerId(INIT)}-0123456789abcdef-hosts`,
      ]),
      refused("mount of another type", "mounts_allowed", [`OCI/Mounts/${mount("/proc")}/type_`, "bind"]),
      refused("mount with other options", "mounts_allowed", [
        `OCI/Mounts/${mount("/proc")}/options`,
        ["nosuid"],
      ]),
      refused("mount of /sys that is writable", "mounts_allowed", [
        `OCI/Mounts/${mount("/sys")}/options`,
        ["nosuid", "noexec", "nodev", "rw"],
      ]),
      refused("control groups with an option more", "mounts_allowed", [cgroup, plus("suid")]),
      refused("control groups with an option less", "mounts_allowed", [cgroup, without("nosuid")]),
      refused("volume on no disk", "mounts_allowed", [
        `${data0}/source`,
        "/run/kata-containers/sandbox/storage/other",
      ]),
      refused("volume that is the directory of memory", "mounts_allowed", [
        `${data0}/source`,
        "/run/kata-containers/sandbox/ephemeral/ram",
      ]),
      // Storages
      refused("storage more than the pod has", "storages_allowed", [
        "storages",
        (all: readonly object[]) => [
          ...all,
          { ...all[blk], source: "07/07", mount_point: "/run/kata-containers/sandbox/storage/MDcvMDc=" },
        ],
      ]),
      refused("storage less than the pod has", "storages_allowed", [
        "storages",
        (all: readonly { driver: string }[]) => all.filter(({ driver }) => driver !== "ephemeral"),
      ]),
      refused("storage in place of another", "storages_allowed", [
        memory,
        {
          ...app.storages[blk],
          source: "07/07",
          mount_point: "/run/kata-containers/sandbox/storage/MDcvMDc=",
        },
      ]),
      refused(
        "two storages at one place",
        "storages_allowed",
        [`storages/${blk + 1}/source`, "00/00"],
        [`storages/${blk + 1}/mount_point`, "/run/kata-containers/sandbox/storage/MDAvMDA="],
        [`OCI/Mounts/${mount("/more")}/source`, "/run/kata-containers/sandbox/storage/MDAvMDA="],
      ),
      refused("disk that is not encrypted", "storages_allowed", [
        `storages/${blk}/driver_options`,
        ["create_filesystem"],
      ]),
      refused("disk with another file system", "storages_allowed", [`storages/${blk}/fstype`, "xfs"]),
      refused("disk with an option", "storages_allowed", [`storages/${blk}/options`, ["suid"]]),
      refused("disk for another group", "storages_allowed", [`storages/${blk}/fs_group`, { group_id: 0 }]),
      refused("disk that is not shared", "storages_allowed", [`storages/${blk}/shared`, false]),
      refused("disk at a strange address", "storages_allowed mounts_allowed", [
        `storages/${blk}/source`,
        "/dev/vda",
      ]),
      refused("disk mounted elsewhere", "storages_allowed mounts_allowed", [
        `storages/${blk}/mount_point`,
        "/etc",
      ]),
      refused("disk by an unknown driver", "storages_allowed mounts_allowed", [
        `storages/${blk}/driver`,
        "nvdimm",
      ]),
      refused("memory mounted elsewhere", "storages_allowed", [
        `${memory}/mount_point`,
        "/run/kata-containers/sandbox/ephemeral/ram/../../x",
      ]),
      refused("memory from elsewhere", "storages_allowed", [`${memory}/source`, "/dev/sda"]),
      refused("memory by another driver", "storages_allowed", [`${memory}/driver`, "local"]),
      refused("memory with an option", "storages_allowed", [`${memory}/options`, ["suid"]]),
      refused("image of the host's choice", "storages_allowed", [`${pull}/source`, "example.com/evil:1"]),
      refused("image of another digest", "storages_allowed", [
        `${pull}/source`,
        `example.com/app@sha256:${"0".repeat(64)}`,
      ]),
      refused("image of the sandbox", "storages_allowed", [`${pull}/source`, "pause"]),
      refused("image pulled to elsewhere", "storages_allowed", [`${pull}/mount_point`, "/etc"]),
      refused("image on another file system", "storages_allowed", [`${pull}/fstype`, "bind"]),
      refused("image for a group", "storages_allowed", [`${pull}/fs_group`, { group_id: 0 }]),
      refused("image with an option", "storages_allowed", [`${pull}/options`, ["suid"]]),
      refused("image with another driver option", "storages_allowed", [`${pull}/driver_options`, ["evil"]]),
      refused("two images", "storages_allowed", [
        "storages",
        (all: readonly object[]) => [...all, { ...all[0], mount_point: "/x" }],
      ]),
      // Devices
      refused("device that the pod has not", "devices_allowed", [
        "devices",
        plus({ id: "x", container_path: "/dev/sda", options: [] }),
      ]),
      refused("device twice", "devices_allowed", [
        "devices",
        (all: readonly unknown[]) => [...all, all[disk]],
      ]),
      refused("accelerator by another name", "devices_allowed", [`devices/${gpu}/id`, "vfio1"]),
      refused("accelerator of another type", "devices_allowed", [`devices/${gpu}/type_`, "vfio-pci"]),
      refused("accelerator with a path in the guest", "devices_allowed", [
        `devices/${gpu}/vm_path`,
        "/dev/x",
      ]),
      refused("accelerator without an address", "devices_allowed", [`devices/${gpu}/options`, []]),
      refused("accelerator at a strange address", "devices_allowed", [`devices/${gpu}/options`, ["evil"]]),
      refused(
        "accelerator without a number",
        "devices_allowed",
        [`devices/${gpu}/container_path`, "/dev/vfio/devices/vfiox"],
        [`devices/${gpu}/id`, "vfiox"],
      ),
      refused(
        "accelerator that is not announced",
        "devices_allowed",
        [`devices/${gpu}/container_path`, "/dev/vfio/devices/vfio7"],
        [`devices/${gpu}/id`, "vfio7"],
      ),
      refused(
        "accelerator too much",
        "devices_allowed",
        [
          "devices",
          (all: readonly object[]) => [
            ...all,
            { ...all[gpu], id: "vfio1", container_path: "/dev/vfio/devices/vfio1" },
          ],
        ],
        ["OCI/Annotations", (all: object) => ({ ...all, "cdi.k8s.io/vfio1": "nvidia.com/gpu=1" })],
      ),
      refused("announcement of another vendor", "annotations_known", [
        "OCI/Annotations",
        (all: object) => ({ ...all, "cdi.k8s.io/vfio0": "example.com/gpu=0" }),
      ]),
      create("accelerator for a container without", INIT, "devices_allowed", ["devices", [app.devices[gpu]]]),
    ],
  };
}
