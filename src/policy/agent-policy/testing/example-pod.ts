/** A policy's data for a pod of many containers, and the request that creates one of them, for tests in the engine host. */

const MOUNTS: readonly (readonly [destination: string, type: string, source: string, options: string])[] = [
  ["/proc", "proc", "proc", "nosuid,noexec,nodev"],
  ["/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"],
  ["/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"],
  ["/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"],
  ["/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"],
  ["/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"],
  ["/etc/hosts", "bind", "$(sfprefix)hosts$", "rbind,rprivate,rw"],
  ["/dev/termination-log", "bind", "$(sfprefix)termination-log$", "rbind,rprivate,rw"],
  ["/etc/hostname", "bind", "$(sfprefix)hostname$", "rbind,rprivate,rw"],
  ["/etc/resolv.conf", "bind", "$(sfprefix)resolv\\.conf$", "rbind,rprivate,rw"],
  ["/dev/shm", "bind", "/run/kata-containers/sandbox/shm", "rbind"],
  [
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "bind",
    "$(sfprefix)serviceaccount$",
    "rbind,rprivate,ro",
  ],
  ["/config", "bind", "$(sfprefix)config$", "rbind,rprivate,ro"],
];

const MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"];
const READONLY = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"];
const ENVIRONMENT = [
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "HOSTNAME=$(host-name)",
  "POD=$(sandbox-name)",
  "ADDRESS=$(pod-ip)",
  "LOG_LEVEL=info",
  "REGION=here",
];
const SERVICES = [
  "KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443",
  "KUBERNETES_PORT_443_TCP_PROTO=tcp",
  "KUBERNETES_PORT_443_TCP_PORT=443",
  "KUBERNETES_PORT_443_TCP_ADDR=10.0.0.1",
  "KUBERNETES_SERVICE_HOST=10.0.0.1",
  "KUBERNETES_SERVICE_PORT=443",
  "KUBERNETES_SERVICE_PORT_HTTPS=443",
  "KUBERNETES_PORT=tcp://10.0.0.1:443",
];

const NAMESPACES = ["ipc", "uts", "mount"].map((Type) => ({ Type, Path: "" }));
const USER = { UID: 1000, GID: 1000, AdditionalGids: [1000], Username: "" };
const ID = "ab".repeat(32);

/** `policy_data` with `count` containers; `settings` are those of genpolicy. */
export function examplePolicyData(settings: Readonly<Record<string, unknown>>, count: number): unknown {
  const { common, sandbox, request_defaults, devices, cluster_config } = settings;
  const containers = Array.from({ length: count }, (_, index) => ({
    OCI: {
      Version: "1.1.0",
      Process: {
        Terminal: false,
        User: USER,
        Args: ["/bin/server", `--number=${index}`],
        Env: ENVIRONMENT,
        Cwd: "/",
        Capabilities: sets(["$(default_caps)"]),
        NoNewPrivileges: true,
      },
      Root: { Path: "$(root_path)", Readonly: false },
      Mounts: MOUNTS.map(([destination, type_, source, options]) => ({
        destination,
        type_,
        source,
        options: options.split(","),
      })),
      Annotations: {
        "io.katacontainers.pkg.oci.bundle_path": "$(bundle-id)",
        "io.katacontainers.pkg.oci.container_type": "pod_container",
        "io.kubernetes.cri.container-name": `server-${index}`,
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": `registry.example.com/server:${index}`,
        "io.kubernetes.cri.sandbox-id": "^[a-z0-9]{64}$",
        "io.kubernetes.cri.sandbox-name": "^shop$",
        "io.kubernetes.cri.sandbox-namespace": "default",
      },
      Linux: { Namespaces: NAMESPACES, MaskedPaths: MASKED, ReadonlyPaths: READONLY, Devices: [] },
    },
    storages: [],
    devices: [],
    sandbox_pidns: false,
    exec_commands: [],
    runtime_anno_patterns: {},
  }));
  const usual = { ...(common as object), default_caps: CAPABILITIES };
  return { containers, common: usual, sandbox, request_defaults, devices, cluster_config };
}

function sets(names: readonly string[]) {
  return { Ambient: [], Bounding: names, Effective: names, Inheritable: [], Permitted: names };
}

/** The request that creates container `index` of {@link examplePolicyData}. */
export function exampleRequest(index: number): Record<string, unknown> {
  const prefix = `/run/kata-containers/shared/containers/${ID}-0123456789abcdef-`;
  const root = `/run/kata-containers/${ID}/rootfs`;
  const values: Readonly<Record<string, string>> = {
    "$(host-name)": "node-1",
    "$(sandbox-name)": "shop",
    "$(pod-ip)": "10.0.0.7",
  };
  const env = ENVIRONMENT.map((variable) => variable.replace(/\$\([^)]*\)/, (name) => values[name] ?? name));
  return {
    container_id: ID,
    exec_id: ID,
    sandbox_pidns: false,
    devices: [],
    storages: [
      {
        driver: "image_guest_pull",
        driver_options: ["image_guest_pull={}"],
        source: `registry.example.com/server:${index}`,
        fstype: "overlay",
        options: [],
        mount_point: root,
        fs_group: null,
        shared: false,
      },
    ],
    OCI: {
      Version: "1.1.0",
      Annotations: {
        "io.katacontainers.pkg.oci.bundle_path": `/run/containerd/io.containerd.runtime.v2.task/k8s.io/${ID}`,
        "io.katacontainers.pkg.oci.container_type": "pod_container",
        "io.kubernetes.cri.container-name": `server-${index}`,
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": `registry.example.com/server:${index}`,
        "io.kubernetes.cri.sandbox-id": "cd".repeat(32),
        "io.kubernetes.cri.sandbox-name": "shop",
        "io.kubernetes.cri.sandbox-namespace": "default",
      },
      Root: { Path: root, Readonly: false },
      Mounts: MOUNTS.map(([destination, type_, source, options]) => ({
        destination,
        type_,
        source: source.replace("$(sfprefix)", prefix).replace(/\$$/, "").replaceAll("\\", ""),
        options: options.split(","),
      })),
      Process: {
        Terminal: false,
        User: USER,
        Args: ["/bin/server", `--number=${index}`],
        Env: [...env, ...SERVICES],
        Cwd: "/",
        Capabilities: sets(CAPABILITIES),
        NoNewPrivileges: true,
      },
      Linux: {
        Namespaces: [...NAMESPACES, { Type: "network", Path: "/run/netns/podns" }],
        MaskedPaths: MASKED,
        ReadonlyPaths: READONLY,
        Devices: [],
        Sysctl: {},
        Resources: { Devices: [] },
      },
    },
  };
}
