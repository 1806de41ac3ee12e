/** A pod as the policy needs it, read from its object. */
import { type Json, Node } from "../json.ts";
import type { Workload } from "./resources.ts";

export interface Pod {
  /** An expression for the names that its pods have; undefined if any will do. */
  readonly nameExpression: string | undefined;
  /** Empty if the object leaves it to who applies it. */
  readonly namespace: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly runtimeClass: string;
  readonly sharesProcesses: boolean;
  readonly usesHostNetwork: boolean;
  readonly security: PodSecurity;
  /** In the order in which they start, sidecars of the kind of init containers included. */
  readonly initContainers: readonly PodContainer[];
  readonly containers: readonly PodContainer[];
  readonly volumes: readonly Node[];
}

export interface PodSecurity {
  readonly runAsUser: number | undefined;
  readonly runAsGroup: number | undefined;
  readonly fsGroup: number | undefined;
  readonly supplementalGroups: readonly number[];
  readonly sysctls: Readonly<Record<string, string>>;
}

export interface PodContainer {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[] | undefined;
  readonly args: readonly string[] | undefined;
  readonly workingDir: string;
  readonly tty: boolean;
  readonly env: readonly Node[];
  readonly envFrom: readonly Node[];
  readonly security: {
    readonly runAsUser: number | undefined;
    readonly runAsGroup: number | undefined;
    readonly privileged: boolean;
    readonly readOnlyRoot: boolean;
    readonly allowsPrivilegeEscalation: boolean;
    readonly addedCapabilities: readonly string[];
    readonly droppedCapabilities: readonly string[];
  };
  readonly volumeMounts: readonly VolumeMount[];
  /** Paths of block volumes in the container. */
  readonly devicePaths: readonly string[];
  readonly terminationMessagePath: string | undefined;
  /** Commands that the kubelet runs in the container. */
  readonly execCommands: readonly (readonly string[])[];
  readonly limits: Readonly<Record<string, string>>;
}

export interface VolumeMount {
  readonly volume: string;
  readonly mountPath: string;
  readonly readOnly: boolean;
  readonly propagation: "rprivate" | "rslave" | "rshared";
  readonly subPath: string | undefined;
  readonly subPathExpr: string | undefined;
}

/** @throws KataError `invalid-document` if a field is of another type than Kubernetes has it. */
export function readPod(workload: Workload): Pod {
  const spec = workload.pod.at("spec");
  const metadata = workload.pod.at("metadata");
  const security = spec.at("securityContext");
  return {
    nameExpression: nameExpression(workload),
    namespace: workload.root.at("metadata", "namespace").text() ?? "",
    annotations: texts(metadata.at("annotations")),
    labels: texts(metadata.at("labels")),
    serviceAccount: spec.at("serviceAccountName").text() ?? spec.at("serviceAccount").text() ?? "default",
    runtimeClass: spec.at("runtimeClassName").text() ?? "",
    sharesProcesses: spec.at("shareProcessNamespace").flag() ?? false,
    usesHostNetwork: spec.at("hostNetwork").flag() ?? false,
    security: {
      runAsUser: security.at("runAsUser").integer(),
      runAsGroup: security.at("runAsGroup").integer(),
      fsGroup: security.at("fsGroup").integer(),
      supplementalGroups: security.at("supplementalGroups").items().map(group),
      sysctls: Object.fromEntries(
        security
          .at("sysctls")
          .items()
          .map((sysctl) => [sysctl.at("name").requiredText(), sysctl.at("value").requiredText()]),
      ),
    },
    initContainers: spec.at("initContainers").items().map(readContainer),
    containers: spec.at("containers").items().map(readContainer),
    volumes: [...spec.at("volumes").items(), ...claimTemplates(workload)],
  };
}

/** The volumes that a StatefulSet adds, one for each template of a claim. */
function claimTemplates({ kind, root }: Workload): Node[] {
  if (kind !== "StatefulSet") return [];
  const templates = root.at("spec", "volumeClaimTemplates").items();
  return templates.map((template) => {
    const name = template.at("metadata", "name").requiredText();
    const volume: Json = { name, persistentVolumeClaim: { claimName: name } };
    return new Node(volume, template.path);
  });
}

/** Characters of a name before the random end of one that Kubernetes makes. Source: apiserver, names/generate.go. */
const MAX_GENERATED_BASE = 58;
const RANDOM_END = "[a-z0-9]{5}";

function nameExpression({ kind, root }: Workload): string | undefined {
  const metadata = root.at("metadata");
  const name = metadata.at("name").text();
  const generateName = metadata.at("generateName").text();
  const own =
    name !== undefined
      ? asExpression(name)
      : generateName !== undefined
        ? generated(generateName)
        : undefined;
  if (own === undefined) return undefined;
  const makes = (middle = "") =>
    middle === "" && name !== undefined ? generated(`${name}-`) : `${own}-${middle}${RANDOM_END}`;
  switch (kind) {
    case "Pod":
      return `^${own}$`;
    case "Deployment":
      return `^${makes("[a-z0-9]{1,10}-")}$`;
    case "StatefulSet":
      return `^${own}-[0-9]+$`;
    case "CronJob":
      return `^${makes(root.at("spec", "jobTemplate", "spec", "completionMode").text() === "Indexed" ? "[0-9]+-[0-9]+-" : "[0-9]+-")}$`;
    case "Job":
      return `^${makes(root.at("spec", "completionMode").text() === "Indexed" ? "[0-9]+-" : "")}$`;
    default:
      return `^${makes()}$`;
  }
}

function generated(base: string): string {
  return `${asExpression(base.slice(0, MAX_GENERATED_BASE))}${RANDOM_END}`;
}

/** The text as a regular expression for itself. */
export function asExpression(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

function readContainer(node: Node): PodContainer {
  const security = node.at("securityContext");
  return {
    name: node.at("name").requiredText(),
    image: node.at("image").requiredText(),
    command: optionalTexts(node.at("command")),
    args: optionalTexts(node.at("args")),
    workingDir: node.at("workingDir").text() ?? "",
    tty: node.at("tty").flag() ?? false,
    env: node.at("env").items(),
    envFrom: node.at("envFrom").items(),
    security: {
      runAsUser: security.at("runAsUser").integer(),
      runAsGroup: security.at("runAsGroup").integer(),
      privileged: security.at("privileged").flag() ?? false,
      readOnlyRoot: security.at("readOnlyRootFilesystem").flag() ?? false,
      allowsPrivilegeEscalation: security.at("allowPrivilegeEscalation").flag() ?? true,
      addedCapabilities: security.at("capabilities", "add").texts(),
      droppedCapabilities: security.at("capabilities", "drop").texts(),
    },
    volumeMounts: node.at("volumeMounts").items().map(readVolumeMount),
    devicePaths: node
      .at("volumeDevices")
      .items()
      .map((device) => device.at("devicePath").requiredText()),
    terminationMessagePath: node.at("terminationMessagePath").text(),
    execCommands: readExecCommands(node),
    limits: texts(node.at("resources", "limits")),
  };
}

/** An empty list counts as none, as in Kubernetes. */
function optionalTexts(node: Node): string[] | undefined {
  const texts = node.texts();
  return texts.length === 0 ? undefined : texts;
}

const HANDLERS = [
  ["livenessProbe"],
  ["readinessProbe"],
  ["startupProbe"],
  ["lifecycle", "postStart"],
  ["lifecycle", "preStop"],
] as const;

function readExecCommands(node: Node): string[][] {
  return HANDLERS.map((path) => node.at(...path, "exec", "command").texts()).filter(
    ({ length }) => length > 0,
  );
}

const PROPAGATIONS = { None: "rprivate", HostToContainer: "rslave", Bidirectional: "rshared" } as const;

function readVolumeMount(node: Node): VolumeMount {
  const propagation = node.at("mountPropagation").text() ?? "None";
  if (propagation !== "None" && propagation !== "HostToContainer" && propagation !== "Bidirectional") {
    throw node.at("mountPropagation").wrong("None, HostToContainer or Bidirectional");
  }
  return {
    volume: node.at("name").requiredText(),
    mountPath: node.at("mountPath").requiredText(),
    readOnly: node.at("readOnly").flag() ?? false,
    propagation: PROPAGATIONS[propagation],
    subPath: node.at("subPath").text(),
    subPathExpr: node.at("subPathExpr").text(),
  };
}

function group(node: Node): number {
  const id = node.integer();
  if (id === undefined) throw node.wrong("a group id");
  return id;
}

function texts(node: Node): Record<string, string> {
  return Object.fromEntries(node.entries().map(([key, value]) => [key, value.text() ?? ""]));
}
