/** The environment of a container, as the kubelet makes it. Source: Kubernetes, kubelet makeEnvironmentVariables. */
import { KataError } from "../../../kata-error.ts";
import type { Node } from "../json.ts";
import type { Pod, PodContainer } from "../kubernetes/pod.ts";

/** Objects that variables come from. */
export interface Sources {
  readonly configMaps: readonly Node[];
  readonly secrets: readonly Node[];
}

/**
 * The variables that the pod gives to its container, by name. What only the running pod has is left as a placeholder such
 * as `$(pod-ip)`, and `$$` as it is, for the rules to replace.
 *
 * @throws KataError `missing-source` if a variable's ConfigMap or Secret is not given, `unsupported-field` for a field
 *   reference that is not known.
 */
export function podVariables(pod: Pod, container: PodContainer, sources: Sources): Map<string, string> {
  const variables = new Map<string, string>();
  for (const source of container.envFrom) {
    const prefix = source.at("prefix").text() ?? "";
    for (const [key, value] of valuesFrom(source, sources)) variables.set(prefix + key, value);
  }
  for (const variable of container.env) {
    const name = variable.at("name").requiredText();
    const literal = variable.at("value").text();
    const value =
      literal !== undefined ? expand(literal, variables) : valueFrom(variable.at("valueFrom"), pod, sources);
    if (value !== undefined) variables.set(name, value);
  }
  return variables;
}

/**
 * Replaces `$(NAME)`; unknown names and `$$` stay. Source: Kubernetes, third_party/forked/golang/expansion.
 */
export function expand(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (reference, name: string | undefined) =>
    name === undefined ? reference : (variables.get(name) ?? reference),
  );
}

/** The variables of the pod that are written out in it, which alone the kubelet puts into commands of probes. */
export function staticVariables(container: PodContainer): Map<string, string> {
  const variables = new Map<string, string>();
  for (const variable of container.env) {
    const value = variable.at("value").text();
    if (value !== undefined) variables.set(variable.at("name").requiredText(), expand(value, variables));
  }
  return variables;
}

function valuesFrom(source: Node, sources: Sources): [name: string, value: string][] {
  const configMap = source.at("configMapRef");
  if (configMap.isPresent)
    return entriesOf(lookUp(configMap, "ConfigMap", sources.configMaps), configMapText);
  const secret = source.at("secretRef");
  if (secret.isPresent) return entriesOf(lookUp(secret, "Secret", sources.secrets), secretText);
  throw source.wrong("configMapRef or secretRef");
}

function entriesOf(
  object: Node | undefined,
  text: (object: Node, key: string) => string | undefined,
): [name: string, value: string][] {
  if (object === undefined) return [];
  const keys = ["data", "stringData"].flatMap((part) =>
    object
      .at(part)
      .entries()
      .map(([key]) => key),
  );
  return [...new Set(keys)].map((key) => [key, text(object, key) ?? ""]);
}

function valueFrom(from: Node, pod: Pod, sources: Sources): string | undefined {
  if (!from.isPresent) return "";
  const configMap = from.at("configMapKeyRef");
  if (configMap.isPresent) {
    return keyOf(configMap, lookUp(configMap, "ConfigMap", sources.configMaps), configMapText);
  }
  const secret = from.at("secretKeyRef");
  if (secret.isPresent) return keyOf(secret, lookUp(secret, "Secret", sources.secrets), secretText);
  if (from.at("resourceFieldRef").isPresent) return "$(resource-field)";
  return fieldValue(from.at("fieldRef", "fieldPath"), pod);
}

function keyOf(
  reference: Node,
  object: Node | undefined,
  text: (object: Node, key: string) => string | undefined,
): string | undefined {
  if (object === undefined) return undefined;
  const key = reference.at("key").requiredText();
  const value = text(object, key);
  if (value === undefined && reference.at("optional").flag() !== true) {
    throw missing(reference, `it has no key ${key}`);
  }
  return value;
}

/** The object that a reference names; undefined if it is absent and may be. */
function lookUp(reference: Node, kind: string, objects: readonly Node[]): Node | undefined {
  const name = reference.at("name").text() ?? "";
  const found = objects.findLast((object) => object.at("metadata", "name").text() === name);
  if (found === undefined && reference.at("optional").flag() !== true) {
    throw missing(reference, `no ${kind} ${name} is given: put it in the input or in a --config-file`);
  }
  return found;
}

function missing(reference: Node, hint: string): KataError {
  return new KataError("missing-source", {
    operation: "find value of variable",
    object: reference.path,
    hint,
  });
}

function configMapText(object: Node, key: string): string | undefined {
  return object.at("data", key).text();
}

function secretText(object: Node, key: string): string | undefined {
  const plain = object.at("stringData", key).text();
  if (plain !== undefined) return plain;
  const encoded = object.at("data", key).text();
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("utf8");
}

const FIELDS: Readonly<Record<string, string>> = {
  "metadata.name": "$(sandbox-name)",
  "metadata.uid": "$(pod-uid)",
  "spec.nodeName": "$(node-name)",
  "status.hostIP": "$(host-ip)",
  "status.hostIPs": "$(host-ip)",
  "status.podIP": "$(pod-ip)",
  "status.podIPs": "$(pod-ip)",
};

function fieldValue(path: Node, pod: Pod): string {
  const text = path.requiredText();
  const fixed = FIELDS[text];
  if (fixed !== undefined) return fixed;
  if (text === "metadata.namespace") return pod.namespace === "" ? "$(sandbox-namespace)" : pod.namespace;
  if (text === "spec.serviceAccountName") return pod.serviceAccount;
  const [, part, key] = /^metadata\.(annotations|labels)\['([^']+)'\]$/.exec(text) ?? [];
  // One that the template has not may still be added, by a controller or an admission webhook.
  if (part === "annotations" && key !== undefined) return pod.annotations[key] ?? "$(todo-annotation)";
  if (part === "labels" && key !== undefined) return pod.labels[key] ?? "$(todo-annotation)";
  throw new KataError("unsupported-field", {
    operation: "find value of variable",
    object: `${path.path}: ${text}`,
    hint: "the kubelet knows no such field",
  });
}
