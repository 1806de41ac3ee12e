/**
 * A host that has turned against a pod: the policy of the pod's owner refuses what it wants, naming the rule, and the pod goes on.
 *
 * One machine for all: the pod is run by containerd with the policy that genpolicy made of its YAML, and the tampered requests go to
 * its agent between those of the shim.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type {
  AgentServiceClient,
  CreateContainerRequest,
  ExecProcessRequest,
} from "../../build/generated/agent.ts";
import { DEFAULT_POLICIES } from "../../src/policy/agent-policy/default-policies.ts";
import { PolicedPod } from "../harness/policed-pod.ts";

const SCRIPT = "echo started; while :; do sleep 1; done";
const YAML = `apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default }
spec:
  containers:
  - name: app
    image: localhost/busybox:latest
    command: [sh, -c, "${SCRIPT}"]
    env: [{ name: COLOUR, value: blue }]
    livenessProbe: { exec: { command: [cat, /etc/passwd] } }
`;
const DEADLINE_MS = 300_000;
const SHARED = "/run/kata-containers/shared/containers";

let pod: PolicedPod;
let agent: AgentServiceClient;

beforeAll(async () => {
  const env = { COLOUR: "blue", KUBERNETES_SERVICE_HOST: "10.0.0.1" };
  pod = await PolicedPod.run(YAML, { name: "app", script: SCRIPT, env });
  agent = await pod.agent();
}, DEADLINE_MS);
afterAll(() => pod?.[Symbol.asyncDispose](), DEADLINE_MS);

/** `value` with everything in it copied, and one text in all texts replaced by another. */
function copied(value: unknown, text: string, by: string): unknown {
  if (typeof value === "string") return value.replaceAll(text, by);
  if (Array.isArray(value)) return value.map((item) => copied(item, text, by));
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, copied(item, text, by)]));
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copied(item, text, by)]));
}

/** What a path leads to is replaced; a function gets what was there. */
type Change = readonly [path: string, value: unknown];

function change(target: unknown, [path, value]: Change): void {
  const steps = path.split("/");
  const last = steps.pop() ?? "";
  let at = target;
  for (const step of steps) at = at instanceof Map ? at.get(step) : (at as Record<string, unknown>)[step];
  if (at instanceof Map) {
    at.set(last, value);
    return;
  }
  const fields = at as Record<string, unknown>;
  fields[last] = typeof value === "function" ? value(fields[last]) : value;
}

let made = 0;

/** The request that made the container, for another one of its kind, with changes. */
function create(...changes: Change[]): () => Promise<unknown> {
  return () => {
    const id = (++made).toString(16).padStart(64, "e");
    const request = copied(pod.createRequest(), pod.containerId, id) as CreateContainerRequest;
    for (const each of changes) change(request, each);
    return agent.createContainer(request);
  };
}

/** The shim's last probe with changes. */
function exec(...changes: Change[]): () => Promise<unknown> {
  return () => {
    const request = copied(pod.execRequest(), "", "") as ExecProcessRequest;
    change(request, ["execId", `tampered-${++made}`]);
    for (const each of changes) change(request, each);
    return agent.execProcess(request);
  };
}

const more = (item: unknown) => (list: readonly unknown[]) => [...list, item];
const mount = (destination: string, source: string) => ({
  destination,
  source,
  type: "bind",
  options: ["rbind", "rprivate", "rw"],
});
const bindTo = (source: string) => (list: readonly { readonly destination: string }[]) =>
  list.map((item) => (item.destination === "/etc/hosts" ? { ...item, source } : item));
const container = () => ({ containerId: pod.containerId, execId: pod.containerId });
const copy = (path: string, fileMode: number, target: string) => () =>
  agent.copyFile({
    path,
    fileMode,
    dirMode: 0o755,
    fileSize: BigInt(target.length),
    data: Buffer.from(target),
  });
const annotation = (name: string, value: string): Change => [`OCI/Annotations/${name}`, value];

const TAMPERED: readonly (readonly [what: string, rule: string, send: () => Promise<unknown>])[] = [
  ["another command", "process_args", create(["OCI/Process/Args", ["sh"]])],
  ["an argument more", "process_args", create(["OCI/Process/Args", more("--evil")])],
  ["another value of a variable", "process_environment", create(["OCI/Process/Env", more("COLOUR=red")])],
  ["a library to load first", "process_environment", create(["OCI/Process/Env", more("LD_PRELOAD=/x")])],
  ["another working directory", "process_cwd", create(["OCI/Process/Cwd", "/tmp"])],
  ["another user", "process_user", create(["OCI/Process/User/UID", 1])],
  ["another group", "process_user", create(["OCI/Process/User/GID", 1])],
  ["a group more", "process_user", create(["OCI/Process/User/AdditionalGids", more(27)])],
  ["a terminal", "process_terminal", create(["OCI/Process/Terminal", true])],
  [
    "a capability more",
    "process_capabilities",
    create(["OCI/Process/Capabilities/Bounding", more("CAP_SYS_ADMIN")]),
  ],
  [
    "ambient capabilities",
    "process_capabilities",
    create(["OCI/Process/Capabilities/Ambient", ["CAP_KILL"]]),
  ],
  [
    "other rules for privileges",
    "process_no_new_privileges",
    create(["OCI/Process/NoNewPrivileges", (value: boolean) => !value]),
  ],
  ["another specification's version", "oci_version", create(["OCI/Version", "0.9.0"])],
  ["a root file system that cannot be written", "root_readonly", create(["OCI/Root/Readonly", true])],
  [
    "other layers: another container's root file system",
    "root_path",
    create(["OCI/Root/Path", `${SHARED}/${"f".repeat(64)}/rootfs`]),
  ],
  [
    "a directory of the host more",
    "mounts_allowed",
    create(["OCI/Mounts", more(mount("/host", `${SHARED}/x`))]),
  ],
  [
    "a mount over its programs",
    "mounts_allowed",
    create(["OCI/Mounts", more(mount("/bin", `${SHARED}/${"e".repeat(64)}-0000000000000001-bin`))]),
  ],
  ["a mount of another source", "mounts_allowed", create(["OCI/Mounts", bindTo("/proc/1/root")])],
  [
    "a mount whose source climbs",
    "mounts_allowed",
    create(["OCI/Mounts", bindTo(`${SHARED}/../../../etc-hosts`)]),
  ],
  [
    "two mounts at one place",
    "mounts_allowed",
    create(["OCI/Mounts", (list: unknown[]) => [...list, list[0]]]),
  ],
  [
    "mounts with other options",
    "mounts_allowed",
    create([
      "OCI/Mounts",
      (list: { options: string[] }[]) => list.map((item) => ({ ...item, options: ["rw"] })),
    ]),
  ],
  ["an annotation that nobody knows", "annotations_known", create(annotation("io.evil", "1"))],
  ["another pod's name", "sandbox_name_allowed", create(annotation("io.kubernetes.cri.sandbox-name", "db"))],
  [
    "another namespace",
    "sandbox_namespace_allowed",
    create(annotation("io.kubernetes.cri.sandbox-namespace", "kube-system")),
  ],
  [
    "a container that the pod does not have",
    "known_container",
    create(annotation("io.kubernetes.cri.container-name", "miner")),
  ],
  [
    "a program of the host as a hook",
    "no_hooks",
    create(["OCI/Hooks", { Prestart: [{ Path: "/bin/sh", Args: [], Env: [], Timeout: 0n }] }]),
  ],
  [
    "a filter that passes system calls on",
    "no_seccomp_profile",
    create(["OCI/Linux/Seccomp", { DefaultAction: "SCMP_ACT_NOTIFY" }]),
  ],
  [
    "a device node",
    "linux_devices",
    create(["OCI/Linux/Devices", [{ Path: "/dev/vda", Type: "b", Major: 254n, Minor: 0n }]]),
  ],
  [
    "a disk that was plugged in",
    "devices_allowed",
    create(["devices", [{ id: "d", type: "blk", vmPath: "02/00", containerPath: "/dev/x", options: [] }]]),
  ],
  [
    "a storage more",
    "storages_allowed",
    create(["storages", [{ driver: "ephemeral", source: "tmpfs", fstype: "tmpfs", mountPoint: "/run/x" }]]),
  ],
  [
    "a parameter of the kernel",
    "linux_sysctl",
    create(["OCI/Linux/Sysctl", new Map([["kernel.core_pattern", "|/evil"]])]),
  ],
  [
    "other users inside",
    "no_id_mappings",
    create(["OCI/Linux/UIDMappings", [{ HostID: 0, ContainerID: 0, Size: 1 }]]),
  ],
  [
    "the guest's mount namespace",
    "linux_namespaces",
    create([
      "OCI/Linux/Namespaces",
      (list: { Type: string }[]) => list.filter(({ Type }) => Type !== "mount"),
    ]),
  ],
  [
    "nothing hidden of /proc",
    "linux_masked_paths",
    create(["OCI/Linux/MaskedPaths", []], ["OCI/Linux/ReadonlyPaths", []]),
  ],
  [
    "a /proc to be written",
    "linux_readonly_paths",
    create(["OCI/Linux/ReadonlyPaths", []], ["OCI/Linux/MaskedPaths", []]),
  ],
  [
    "all devices allowed",
    "no_host_resources",
    create([
      "OCI/Linux/Resources/Devices",
      [{ Allow: true, Type: "a", Major: -1n, Minor: -1n, Access: "rwm" }],
    ]),
  ],
  ["a label", "no_security_labels", create(["OCI/Process/SelinuxLabel", "system_u:system_r:kernel_t:s0"])],
  [
    "a user by name",
    "no_string_user",
    create(["stringUser", { uid: "root", gid: "root", additionalGids: [] }]),
  ],
  ["processes of the others in sight", "sandbox_pidns", create(["sandboxPidns", true])],
  [
    "the pod's own id for a container",
    "one_use_of_container_id",
    () =>
      agent.createContainer(
        copied(pod.createRequest(), pod.containerId, pod.podId) as CreateContainerRequest,
      ),
  ],
  ["another program beside it", "exec_command", exec(["process/Args", ["sh"]])],
  ["its probe as another user", "exec_user", exec(["process/User/UID", 1])],
  ["its probe with a variable", "exec_environment", exec(["process/Env", more("LD_PRELOAD=/x")])],
  ["its probe on a terminal", "exec_terminal", exec(["process/Terminal", true])],
  ["its probe elsewhere", "exec_cwd", exec(["process/Cwd", "/tmp"])],
  [
    "its probe with a capability",
    "exec_capabilities",
    exec(["process/Capabilities", { Bounding: ["CAP_SYS_ADMIN"] }]),
  ],
  ["its probe in a container that is not there", "exec_container", exec(["containerId", "none"])],
  ["a file copied outside", "copy_path", copy("/etc/passwd", 0o100644, "x")],
  ["a file copied through what climbs", "copy_path", copy(`${SHARED}/../../../etc/passwd`, 0o100644, "x")],
  ["a link copied that leads outside", "copy_type", copy(`${SHARED}/${"e".repeat(64)}-x`, 0o120777, "/etc")],
  ["a device copied", "copy_type", copy(`${SHARED}/${"e".repeat(64)}-x`, 0o020666, "")],
  [
    "words for its stdin",
    "WriteStreamRequest",
    () => agent.writeStdin({ ...container(), data: Buffer.from("x") }),
  ],
  ["the end of its stdin", "CloseStdinRequest", () => agent.closeStdin(container())],
  ["a look at its output", "ReadStreamRequest", () => agent.readStdout({ ...container(), len: 1 })],
  [
    "a look at its last words",
    "GetDiagnosticDataRequest",
    () => agent.getDiagnosticData({ containerId: pod.containerId, logType: "termination_log" }),
  ],
  ["another policy", "SetPolicyRequest", () => agent.setPolicy({ policy: DEFAULT_POLICIES["allow-all"] })],
  ["a pause", "PauseContainerRequest", () => agent.pauseContainer({ containerId: pod.containerId })],
  ["a wrong time", "SetGuestDateTimeRequest", () => agent.setGuestDateTime({ Sec: 1n, Usec: 0n })],
  [
    "predictable random numbers",
    "ReseedRandomDevRequest",
    () => agent.reseedRandomDev({ data: Buffer.alloc(32) }),
  ],
  [
    "other packet filters",
    "SetIPTablesRequest",
    () => agent.setIPTables({ isIpv6: false, data: Buffer.alloc(0) }),
  ],
  [
    "another loopback",
    "interface_name",
    () => agent.updateInterface({ interface: { name: "lo", device: "lo", hwAddr: "02:00:00:00:00:01" } }),
  ],
  [
    "a sandbox with modules",
    "no_kernel_modules",
    () => agent.createSandbox({ kernelModules: [{ name: "loop" }] }),
  ],
  ["a sandbox with hooks", "no_guest_hooks", () => agent.createSandbox({ guestHookPath: "/hooks" })],
];

test("the pod of the YAML runs, its probe too, and another container of its kind would", async () => {
  expect(await pod.exec("cat", "/etc/passwd")).toMatchObject({ status: 0 });
  // The policy lets it pass; there is no root file system for it.
  await expect(create()()).rejects.toThrow(/^(?!.*blocked by policy)/);
});

test(`each of ${TAMPERED.length} tampered requests is refused by the rule's name, and the pod goes on`, async () => {
  const answers: Record<string, string> = {};
  const expected: Record<string, string> = {};
  for (const [what, rule, send] of TAMPERED) {
    const message = await send().then(
      () => "allowed",
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    expected[what] = rule;
    const isNamed = /is blocked by policy/.test(message) && new RegExp(`\\b${rule}\\b`).test(message);
    answers[what] = isNamed ? rule : message;
  }
  expect(answers).toEqual(expected);
  expect(TAMPERED.length).toBeGreaterThanOrEqual(40);
  expect(await pod.exec("cat", "/etc/passwd")).toMatchObject({ status: 0 });
  const { status } = await pod.cri.calls.containerStatus({ containerId: pod.containerId });
  // CONTAINER_RUNNING.
  expect(status?.state).toBe(1);
});
