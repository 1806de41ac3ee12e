/** Scenarios of all requests but CreateContainerRequest. */
import type { Json } from "../json.ts";
import { type Change, changed, type Scenario, type Step, scenarioData } from "./rule-scenarios.ts";
import { containerId, createRequest, execRequest, type RunningPod } from "./runtime-requests.ts";

const POD = `
apiVersion: v1
kind: Pod
metadata: { name: shell, namespace: default }
spec:
  containers:
  - name: one
    image: quay.io/prometheus/busybox:latest
    command: [sleep, "1"]
    env: [{ name: GREETING, value: hello }, { name: WHERE, valueFrom: { fieldRef: { fieldPath: metadata.name } } }]
    readinessProbe: { exec: { command: [check, $(GREETING)] } }
    lifecycle: { preStop: { exec: { command: [stop] } } }
  - name: two
    image: quay.io/prometheus/busybox:latest
    command: [sleep, "2"]
`;

const RUNNING: RunningPod = { name: "shell", namespace: "default" };
const ONE = 1;

/** Requests that every policy allows, and the ones that none does. */
const ALWAYS = [
  "DestroySandboxRequest",
  "GetOOMEventRequest",
  "GuestDetailsRequest",
  "OnlineCPUMemRequest",
  "RemoveStaleVirtiofsShareMountsRequest",
  "SignalProcessRequest",
  "StartContainerRequest",
  "StatsContainerRequest",
  "TtyWinResizeRequest",
  "WaitProcessRequest",
];
const NEVER = [
  "AddSwapPathRequest",
  "AddSwapRequest",
  "GetIPTablesRequest",
  "GetMetricsRequest",
  "ListInterfacesRequest",
  "ListRoutesRequest",
  "MemAgentCompactConfig",
  "MemAgentMemcgConfig",
  "MemHotplugByProbeRequest",
  "PauseContainerRequest",
  "ReseedRandomDevRequest",
  "ResizeVolumeRequest",
  "ResumeContainerRequest",
  "SetGuestDateTimeRequest",
  "SetIPTablesRequest",
  "SetPolicyRequest",
  "StartTracingRequest",
  "StopTracingRequest",
  "UpdateContainerRequest",
  "VolumeStatsRequest",
];
const SWITCHED = [
  "CloseStdinRequest",
  "GetDiagnosticDataRequest",
  "ReadStreamRequest",
  "UpdateEphemeralMountsRequest",
  "WriteStreamRequest",
];

export async function requestScenarios(): Promise<Scenario[]> {
  const data = await scenarioData(POD);
  const permissive = await scenarioData(POD, [
    ...SWITCHED.map((kind) => ({ op: "replace", path: `/request_defaults/${kind}`, value: true })),
    { op: "replace", path: "/request_defaults/ExecProcessRequest/allowed_commands", value: [["sh"]] },
    { op: "replace", path: "/request_defaults/ExecProcessRequest/regex", value: ["^ls( -[la]+)?$"] },
    {
      op: "add",
      path: "/sandbox/storages/-",
      value: {
        driver: "virtio-fs",
        driver_options: [],
        fs_group: null,
        fstype: "virtiofs",
        mount_point: "^$(cpath)/?$",
        options: [],
        source: "kataShared",
      },
    },
  ]);
  const bare = (kind: string, breaks?: readonly string[]): Step => ({
    title: kind,
    kind,
    request: {},
    breaks,
  });
  const create = (index: number): Step => ({
    title: `create container ${index}`,
    kind: "CreateContainerRequest",
    request: changed(createRequest(data, index, RUNNING)),
  });
  return [
    {
      name: "fixed answers",
      data,
      steps: [...ALWAYS.map((kind) => bare(kind)), ...[...NEVER, ...SWITCHED].map((kind) => bare(kind, []))],
    },
    { name: "switched on", data: permissive, steps: SWITCHED.map((kind) => bare(kind)) },
    { name: "nothing in the request", data, steps: emptySteps() },
    { name: "sandbox", data: permissive, steps: sandboxSteps() },
    { name: "files", data, steps: copySteps() },
    { name: "network", data, steps: networkSteps() },
    { name: "commands", data, steps: [create(0), create(ONE), create(2), ...execSteps(data)] },
    { name: "commands by hand", data: permissive, steps: [create(0), create(ONE), ...handSteps(permissive)] },
    { name: "removal", data, steps: [create(0), create(ONE), ...removalSteps(data)] },
  ];
}

/** A request without fields is like one with all of them at their defaults. */
function emptySteps(): Step[] {
  const refused = (kind: string, ...breaks: string[]): Step => ({ title: kind, kind, request: {}, breaks });
  return [
    refused("CopyFileRequest", "copy_path", "copy_type"),
    refused(
      "ExecProcessRequest",
      "exec_command",
      "exec_container",
      "exec_capabilities",
      "exec_cwd",
      "exec_environment",
      "exec_labels",
      "exec_no_new_privileges",
      "exec_terminal",
      "exec_user",
    ),
    { title: "routes", kind: "UpdateRoutesRequest", request: {} },
    { title: "neighbours", kind: "AddARPNeighborsRequest", request: {} },
    { title: "container never created", kind: "RemoveContainerRequest", request: {} },
  ];
}

const table = (kind: string, base: Json) => ({
  allowed: (title: string, ...changes: Change[]): Step => ({
    title,
    kind,
    request: changed(base, ...changes),
  }),
  refused: (title: string, breaks: string, ...changes: Change[]): Step => ({
    title,
    kind,
    request: changed(base, ...changes),
    breaks: breaks === "" ? [] : breaks.split(" "),
  }),
});

function sandboxSteps(): Step[] {
  const memory = {
    driver: "ephemeral",
    driver_options: [],
    source: "shm",
    fstype: "tmpfs",
    options: ["noexec", "nosuid", "nodev", "mode=1777", "size=67108864"],
    mount_point: "/run/kata-containers/sandbox/shm",
    fs_group: null,
    shared: false,
  };
  const shared = {
    driver: "virtio-fs",
    source: "kataShared",
    fstype: "virtiofs",
    options: [],
    mount_point: "/run/kata-containers/shared/containers/",
  };
  const { allowed, refused } = table("CreateSandboxRequest", {
    storages: [memory, shared],
    sandbox_pidns: false,
  });
  return [
    allowed("sandbox"),
    allowed("sandbox without file systems", ["storages", undefined]),
    refused("with hooks", "no_guest_hooks", ["guest_hook_path", "/x"]),
    refused("with a module", "no_kernel_modules", ["kernel_modules", [{ name: "x" }]]),
    refused("with shared processes", "no_shared_pidns", ["sandbox_pidns", true]),
    ...["driver", "source", "fstype", "mount_point"].map((field) =>
      refused(`with another ${field}`, "sandbox_storages", [`storages/0/${field}`, "/etc"]),
    ),
    refused("with another option", "sandbox_storages", ["storages/0/options", ["exec"]]),
    refused("with a file system above its place", "sandbox_storages", [
      "storages/1/mount_point",
      "/run/kata-containers/shared/containers/..",
    ]),
  ];
}

function copySteps(): Step[] {
  const top = `/run/kata-containers/shared/containers/${"a1".repeat(32)}-0123456789abcdef-config`;
  const { allowed, refused } = table("CopyFileRequest", { path: `${top}/key`, file_type: "Regular" });
  return [
    allowed("file"),
    allowed("directory", ["path", top], ["file_type", "Directory"]),
    allowed("watched file", ["path", top.replace("shared/containers/", "shared/containers/watchable/")]),
    allowed("link", ["file_type", "Symlink"], ["symlink_target", "..data/key"]),
    refused("file elsewhere", "copy_path", ["path", "/etc/passwd"]),
    refused("file above", "copy_path", ["path", `${top}/../../x`]),
    refused("link to above", "copy_type", ["file_type", "Symlink"], ["symlink_target", "a/../../x"]),
    refused("link to the root", "copy_type", ["file_type", "Symlink"], ["symlink_target", "/etc"]),
    refused("topmost link", "copy_type", ["path", top], ["file_type", "Symlink"], ["symlink_target", "x"]),
    refused(
      "link in place of its directory",
      "copy_type",
      ["path", `${top}/`],
      ["file_type", "Symlink"],
      ["symlink_target", "x"],
    ),
    refused("device", "copy_type", ["file_type", "Unknown"]),
  ];
}

function networkSteps(): Step[] {
  const card = table("UpdateInterfaceRequest", {
    interface: { name: "eth0", hwAddr: "02:00:00:00:00:01", raw_flags: 128 },
  });
  const routes = table("UpdateRoutesRequest", {
    routes: { Routes: [{ device: "eth0", source: "10.0.0.2", dest: "" }] },
  });
  const neighbors = table("AddARPNeighborsRequest", {
    neighbors: {
      ARPNeighbors: [
        { device: "eth0", state: 128, flags: 8, toIPAddress: { address: "10.0.0.1", mask: "" } },
      ],
    },
  });
  const neighbor = "neighbors/ARPNeighbors/0";
  return [
    card.allowed("card"),
    card.allowed("card without flags", ["interface/raw_flags", undefined]),
    card.refused("loopback", "interface_name", ["interface/name", "lo"]),
    card.refused("card without an address", "interface_address", ["interface/hwAddr", "00:00:00:00:00:00"]),
    card.refused("card with a flag", "interface_flags", ["interface/raw_flags", 256]),
    routes.allowed("route"),
    routes.allowed("route without a source", ["routes/Routes/0/source", undefined]),
    routes.refused("route to loopback", "route_devices", ["routes/Routes/0/device", "lo"]),
    routes.refused("route from loopback", "route_sources", ["routes/Routes/0/source", "127.0.0.1"]),
    routes.refused("route from loopback of IPv6", "route_sources", ["routes/Routes/0/source", "::1"]),
    neighbors.allowed("neighbour"),
    neighbors.refused("neighbour on loopback", "neighbor_devices", [`${neighbor}/device`, "lo"]),
    neighbors.refused("neighbour that is loopback", "neighbor_addresses", [
      `${neighbor}/toIPAddress/address`,
      "127.0.0.1",
    ]),
    neighbors.refused("network of neighbours", "neighbor_addresses", [`${neighbor}/toIPAddress/mask`, "24"]),
    neighbors.refused("neighbour in another state", "neighbor_states", [`${neighbor}/state`, 4]),
    neighbors.refused("neighbour with a flag", "neighbor_flags", [`${neighbor}/flags`, 1]),
  ];
}

type Data = Scenario["data"];

function execSteps(data: Data): Step[] {
  const { allowed, refused } = table(
    "ExecProcessRequest",
    changed(execRequest(data, ONE, RUNNING, ["check", "hello"])),
  );
  return [
    allowed("probe"),
    allowed("hook", ["process/Args", ["stop"]]),
    allowed("probe with empty capabilities", ["process/Capabilities", { Ambient: [], Bounding: [] }]),
    allowed("probe with the container's capabilities", [
      "process/Capabilities",
      createRequest(data, ONE, RUNNING).OCI.Process.Capabilities,
    ]),
    refused("other command", "exec_command", ["process/Args", ["sh"]]),
    refused("probe with an argument more", "exec_command", ["process/Args", ["check", "hello", "x"]]),
    refused(
      "probe in the other container",
      "exec_command",
      ["container_id", containerId(2)],
      ["process/Env", []],
    ),
    refused("probe with a terminal", "exec_terminal", ["process/Terminal", true]),
    refused("probe elsewhere", "exec_cwd", ["process/Cwd", "/tmp"]),
    refused("probe as another user", "exec_user", ["process/User/UID", 1]),
    refused("probe with another group", "exec_user", ["process/User/AdditionalGids", [0, 1]]),
    refused("probe without new privileges", "exec_no_new_privileges", ["process/NoNewPrivileges", true]),
    refused("probe with a variable", "exec_environment", [
      "process/Env",
      (env: string[]) => [...env, "LD_PRELOAD=/x"],
    ]),
    refused("probe with another pod's name", "exec_environment", [
      "process/Env",
      (env: string[]) => [...env, "WHERE=other"],
    ]),
    refused("probe with a capability", "exec_capabilities", [
      "process/Capabilities",
      { Ambient: ["CAP_CHOWN"] },
    ]),
    refused("probe with a label", "exec_labels", ["process/SelinuxLabel", "x"]),
    refused("probe with a profile", "exec_labels", ["process/ApparmorProfile", "x"]),
    refused("probe as a user by name", "exec_labels", ["process/User/Username", "x"]),
    refused("probe as a user in strings", "exec_labels", ["string_user", { uid: "0" }]),
    refused(
      "probe in the pod's memory",
      "exec_container exec_command exec_cwd exec_environment exec_no_new_privileges exec_terminal exec_user",
      ["container_id", "namespace"],
    ),
  ];
}

function handSteps(data: Data): Step[] {
  const { allowed, refused } = table("ExecProcessRequest", changed(execRequest(data, ONE, RUNNING, ["sh"])));
  return [
    allowed("command"),
    allowed("command with a terminal", ["process/Terminal", true]),
    allowed("command of an expression", ["process/Args", ["ls", "-la"]]),
    allowed("probe", ["process/Args", ["stop"]]),
    refused("other command", "exec_command", ["process/Args", ["ls", "/etc"]]),
    refused("command elsewhere", "exec_cwd", ["process/Cwd", "/tmp"]),
    refused("probe with a terminal", "exec_terminal", ["process/Args", ["stop"]], ["process/Terminal", true]),
  ];
}

function removalSteps(data: Data): Step[] {
  const remove = table("RemoveContainerRequest", { container_id: containerId(ONE) });
  const exec = table("ExecProcessRequest", changed(execRequest(data, ONE, RUNNING, ["stop"])));
  const create = table("CreateContainerRequest", changed(createRequest(data, 2, RUNNING)));
  return [
    exec.allowed("hook"),
    remove.allowed("container"),
    exec.refused(
      "hook afterwards",
      "exec_container exec_command exec_cwd exec_environment exec_no_new_privileges exec_terminal exec_user",
    ),
    remove.allowed("container again"),
    remove.refused("what the pod is called", "", ["container_id", "sandbox_name"]),
    remove.refused("where the pod is", "", ["container_id", "namespace"]),
    remove.refused("the pod's network", "", ["container_id", "network_namespace"]),
    create.refused("another pod's container", "sandbox_name_allowed one_sandbox_name", [
      "OCI/Annotations/io.kubernetes.cri.sandbox-name",
      "other",
    ]),
    create.allowed("container with a strange id", ["container_id", ""]),
    remove.allowed("container with a strange id", ["container_id", ""]),
  ];
}
