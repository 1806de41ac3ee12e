/** The objects of a YAML text, and the pods that some of them make. */
import { Document, isMap, parseAllDocuments, visit } from "yaml";
import { KataError } from "../../../kata-error.ts";
import { isObject, type Json, Node } from "../json.ts";
import { checkFields } from "./known-fields.ts";

/** Where in an object of each kind its pod is. */
const POD_PATHS: Readonly<Record<string, readonly string[]>> = {
  CronJob: ["spec", "jobTemplate", "spec", "template"],
  DaemonSet: ["spec", "template"],
  Deployment: ["spec", "template"],
  Job: ["spec", "template"],
  Pod: [],
  ReplicaSet: ["spec", "template"],
  ReplicationController: ["spec", "template"],
  StatefulSet: ["spec", "template"],
};

/** Kinds that bear on no policy and are passed on as they are. */
const PLAIN_KINDS = [
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "EndpointSlice",
  "Endpoints",
  "HorizontalPodAutoscaler",
  "Ingress",
  "IngressClass",
  "LimitRange",
  "Namespace",
  "NetworkPolicy",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "PodDisruptionBudget",
  "PriorityClass",
  "ResourceQuota",
  "Role",
  "RoleBinding",
  "RuntimeClass",
  "Service",
  "ServiceAccount",
  "StorageClass",
];

/** An object whose pods get a policy. */
export interface Workload {
  readonly kind: string;
  /** The object. */
  readonly root: Node;
  /** Its pod, or the template of its pods. */
  readonly pod: Node;
  /** Puts an annotation on the pod. */
  annotate(name: string, value: string): void;
}

export interface Manifests {
  readonly workloads: readonly Workload[];
  readonly configMaps: readonly Node[];
  readonly secrets: readonly Node[];
  /** The whole text as it is now. */
  text(): string;
}

/** Aliases that a document may have: each one repeats what it stands for. */
const MAX_ALIASES = 100;

/**
 * Reads one or several documents.
 *
 * @throws KataError `invalid-yaml`, `unsupported-kind`, or `unsupported-field` unless fields are `lenient`.
 */
export function readManifests(name: string, text: string, lenient: boolean): Manifests {
  const documents = parseAllDocuments(text, { merge: true });
  const workloads: Workload[] = [];
  const configMaps: Node[] = [];
  const secrets: Node[] = [];
  let isChanged = false;
  const add = (document: Document, path: readonly (string | number)[], value: Json) => {
    const root = new Node(value, "");
    const kind = root.at("kind").text();
    if (kind === undefined) throw fault("unsupported-kind", name, "an object without a kind");
    if (kind === "List") {
      for (const [index, item] of root.at("items").items().entries()) {
        if (item.isPresent) add(document, [...path, "items", index], item.value ?? null);
      }
      return;
    }
    if (!lenient) checkFields(kind, value);
    const podPath = POD_PATHS[kind];
    if (podPath) {
      workloads.push({
        kind,
        root,
        pod: root.at(...podPath),
        annotate: (key, content) => {
          isChanged = true;
          annotate(document, [...path, ...podPath], key, content);
        },
      });
    } else if (kind === "ConfigMap") {
      configMaps.push(root);
    } else if (kind === "Secret") {
      secrets.push(root);
    } else if (!PLAIN_KINDS.includes(kind)) {
      throw fault("unsupported-kind", `${name}: ${kind}`, `supported are ${supportedKinds()}`);
    }
  };
  const parsed: Document[] = [];
  for (const document of "empty" in documents ? [] : documents) {
    const [error] = document.errors;
    if (error) throw fault("invalid-yaml", name, error.message.split("\n")[0] ?? "no YAML");
    const value: Json = document.toJS({ maxAliasCount: MAX_ALIASES });
    parsed.push(hasAliases(document) ? new Document(value, { aliasDuplicateObjects: false }) : document);
    if (isObject(value)) add(parsed.at(-1) ?? document, [], value);
    else if (value !== null) throw fault("invalid-yaml", name, "a Kubernetes object is a mapping");
  }
  return {
    workloads,
    configMaps,
    secrets,
    text: () => (isChanged ? parsed.map(printDocument).join("") : text),
  };
}

/** What an alias shares with another place would change there too, so such a document is written out in full. */
function hasAliases(document: Document): boolean {
  let found = false;
  visit(document, {
    Alias: () => {
      found = true;
      return visit.BREAK;
    },
  });
  return found;
}

function annotate(
  document: Document,
  podPath: readonly (string | number)[],
  key: string,
  value: string,
): void {
  const metadata = [...podPath, "metadata"];
  for (const path of [metadata, [...metadata, "annotations"]]) {
    if (!isMap(document.getIn(path, true))) document.setIn(path, document.createNode({}));
  }
  document.setIn([...metadata, "annotations", key], value);
}

function printDocument(document: Document, index: number): string {
  const text = document.toString({ lineWidth: 0 });
  return index === 0 || text.startsWith("---") ? text : `---\n${text}`;
}

function supportedKinds(): string {
  return [...Object.keys(POD_PATHS), "ConfigMap", "List", "Secret"].sort().join(", ");
}

function fault(code: string, object: string, hint: string): KataError {
  return new KataError(code, { operation: "read Kubernetes objects", object, hint });
}
