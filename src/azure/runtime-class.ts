/**
 * `RuntimeClass` of `node.k8s.io/v1`, read as strictly as the API server does with `--validate=strict`.
 * Source: kubernetes/api node/v1 types.go, kubernetes/kubernetes pkg/apis/node/validation.
 */
import { isObject, type JsonObject, textAt, textsAt } from "./foreign.ts";
import { parseQuantity } from "./sizing.ts";

export interface RuntimeClass {
  readonly name: string;
  readonly handler: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** `overhead.podFixed`, Kubernetes' quantities. */
  readonly overhead: Readonly<Record<string, string>>;
}

const MAX_NAME = 253;
const MAX_LABEL = 63;
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const QUALIFIED_NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
/** What the server adds, and what a person may write. */
const METADATA = [
  "name",
  "labels",
  "annotations",
  "creationTimestamp",
  "resourceVersion",
  "uid",
  "managedFields",
  "generation",
  "finalizers",
  "ownerReferences",
  "selfLink",
];

/** What is wrong with `value`, a line for each fault: `PATH: what`; empty for a RuntimeClass that a server takes. */
export function runtimeClassFaults(value: unknown): readonly string[] {
  if (!isObject(value)) return ["a RuntimeClass is an object"];
  const faults: string[] = [];
  const fault = (path: string, what: string) => faults.push(`${path}: ${what}`);
  checkFields(value, "", ["apiVersion", "kind", "metadata", "handler", "overhead", "scheduling"], fault);
  if (value.apiVersion !== "node.k8s.io/v1") fault("apiVersion", "is not node.k8s.io/v1");
  if (value.kind !== "RuntimeClass") fault("kind", "is not RuntimeClass");
  const { metadata, handler, overhead, scheduling } = value;
  if (!isObject(metadata)) fault("metadata", "is required");
  else {
    checkFields(metadata, "metadata", METADATA, fault);
    const { name } = metadata;
    if (typeof name !== "string" || !isSubdomain(name)) fault("metadata.name", "is no lower-case DNS name");
    checkMap(metadata.labels, "metadata.labels", isLabelValue, fault);
    checkMap(metadata.annotations, "metadata.annotations", () => true, fault);
  }
  if (typeof handler !== "string" || handler.length > MAX_LABEL || !DNS_LABEL.test(handler)) {
    fault("handler", "is no lower-case DNS label");
  }
  if (overhead !== undefined) {
    if (!isObject(overhead)) fault("overhead", "is no object");
    else {
      checkFields(overhead, "overhead", ["podFixed"], fault);
      checkMap(overhead.podFixed, "overhead.podFixed", isPositiveQuantity, fault);
    }
  }
  if (scheduling !== undefined) {
    if (!isObject(scheduling)) fault("scheduling", "is no object");
    else {
      checkFields(scheduling, "scheduling", ["nodeSelector", "tolerations"], fault);
      checkMap(scheduling.nodeSelector, "scheduling.nodeSelector", isLabelValue, fault);
      checkTolerations(scheduling.tolerations, fault);
    }
  }
  return faults;
}

/** The fields that matter here, of a value that may have faults. */
export function readRuntimeClass(value: unknown): RuntimeClass {
  return {
    name: textAt(value, "metadata", "name"),
    handler: textAt(value, "handler"),
    labels: textsAt(value, "metadata", "labels"),
    nodeSelector: textsAt(value, "scheduling", "nodeSelector"),
    overhead: textsAt(value, "overhead", "podFixed"),
  };
}

type Report = (path: string, what: string) => void;

function checkFields(value: JsonObject, path: string, known: readonly string[], fault: Report): void {
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) fault(path === "" ? name : `${path}.${name}`, "unknown field");
  }
}

function checkMap(value: unknown, path: string, takes: (text: string) => boolean, fault: Report): void {
  if (value === undefined) return;
  if (!isObject(value)) {
    fault(path, "is no object");
    return;
  }
  for (const [key, each] of Object.entries(value)) {
    if (!isQualifiedName(key)) fault(`${path}[${key}]`, "is no qualified name");
    if (typeof each !== "string") fault(`${path}[${key}]`, "is no text");
    else if (!takes(each)) fault(`${path}[${key}]`, `does not take ${JSON.stringify(each)}`);
  }
}

function checkTolerations(value: unknown, fault: Report): void {
  if (value === undefined) return;
  if (!Array.isArray(value)) {
    fault("scheduling.tolerations", "is no list");
    return;
  }
  for (const [index, each] of value.entries()) {
    const path = `scheduling.tolerations[${index}]`;
    if (!isObject(each)) {
      fault(path, "is no object");
      continue;
    }
    checkFields(each, path, ["key", "operator", "value", "effect", "tolerationSeconds"], fault);
    const operator = each.operator ?? "Equal";
    if (operator !== "Equal" && operator !== "Exists")
      fault(`${path}.operator`, "is neither Equal nor Exists");
    if (operator === "Exists" && each.value !== undefined && each.value !== "") {
      fault(`${path}.value`, "must be empty with Exists");
    }
    const effect = each.effect ?? "";
    if (!["", "NoSchedule", "PreferNoSchedule", "NoExecute"].includes(String(effect))) {
      fault(`${path}.effect`, "is no effect");
    }
  }
}

function isSubdomain(name: string): boolean {
  return name.length <= MAX_NAME && name.split(".").every((part) => DNS_LABEL.test(part));
}

function isQualifiedName(key: string): boolean {
  const slash = key.indexOf("/");
  const name = key.slice(slash + 1);
  if (slash >= 0 && !isSubdomain(key.slice(0, slash))) return false;
  return name.length <= MAX_LABEL && QUALIFIED_NAME.test(name);
}

function isLabelValue(text: string): boolean {
  return text === "" || (text.length <= MAX_LABEL && QUALIFIED_NAME.test(text));
}

function isPositiveQuantity(text: string): boolean {
  const value = parseQuantity(text);
  return value !== undefined && value >= 0;
}
