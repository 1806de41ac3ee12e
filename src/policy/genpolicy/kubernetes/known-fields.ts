/**
 * The fields of Kubernetes objects that genpolicy understands, or that do not bear on a policy. Any other is an error:
 * it may be one that changes what runs.
 *
 * Source: Kubernetes API reference, v1 core, apps/v1, batch/v1.
 */
import { KataError } from "../../../kata-error.ts";
import { isObject, type Json } from "../json.ts";

/** `true` is a field of any content, `[shape]` a list. */
export type Shape = true | readonly [Shape] | { readonly [field: string]: Shape };

const METADATA: Shape = {
  annotations: true,
  creationTimestamp: true,
  deletionGracePeriodSeconds: true,
  finalizers: true,
  generateName: true,
  generation: true,
  labels: true,
  managedFields: true,
  name: true,
  namespace: true,
  ownerReferences: true,
  resourceVersion: true,
  selfLink: true,
  uid: true,
};

const EXEC_ACTION: Shape = { command: true };

const HANDLER = {
  exec: EXEC_ACTION,
  httpGet: { host: true, httpHeaders: true, path: true, port: true, scheme: true },
  sleep: { seconds: true },
  tcpSocket: { host: true, port: true },
} as const;

const PROBE: Shape = {
  ...HANDLER,
  grpc: { port: true, service: true },
  failureThreshold: true,
  initialDelaySeconds: true,
  periodSeconds: true,
  successThreshold: true,
  terminationGracePeriodSeconds: true,
  timeoutSeconds: true,
};

const PROFILE: Shape = { type: true, localhostProfile: true };

const CONTAINER: Shape = {
  args: true,
  command: true,
  env: [
    {
      name: true,
      value: true,
      valueFrom: {
        configMapKeyRef: { key: true, name: true, optional: true },
        fieldRef: { apiVersion: true, fieldPath: true },
        resourceFieldRef: { containerName: true, divisor: true, resource: true },
        secretKeyRef: { key: true, name: true, optional: true },
      },
    },
  ],
  envFrom: [
    { configMapRef: { name: true, optional: true }, secretRef: { name: true, optional: true }, prefix: true },
  ],
  image: true,
  imagePullPolicy: true,
  lifecycle: { postStart: HANDLER, preStop: HANDLER, stopSignal: true },
  livenessProbe: PROBE,
  name: true,
  ports: [{ containerPort: true, hostIP: true, hostPort: true, name: true, protocol: true }],
  readinessProbe: PROBE,
  resizePolicy: true,
  resources: { claims: true, limits: true, requests: true },
  restartPolicy: true,
  securityContext: {
    allowPrivilegeEscalation: true,
    appArmorProfile: PROFILE,
    capabilities: { add: true, drop: true },
    privileged: true,
    readOnlyRootFilesystem: true,
    runAsGroup: true,
    runAsNonRoot: true,
    runAsUser: true,
    seccompProfile: PROFILE,
  },
  startupProbe: PROBE,
  stdin: true,
  stdinOnce: true,
  terminationMessagePath: true,
  terminationMessagePolicy: true,
  tty: true,
  volumeDevices: [{ devicePath: true, name: true }],
  volumeMounts: [
    {
      mountPath: true,
      mountPropagation: true,
      name: true,
      readOnly: true,
      recursiveReadOnly: true,
      subPath: true,
      subPathExpr: true,
    },
  ],
  workingDir: true,
};

const ITEMS_SOURCE = { defaultMode: true, items: true, optional: true } as const;

/** Volumes whose mounts the policy can foresee. */
const VOLUME: Shape = {
  name: true,
  azureDisk: true,
  azureFile: true,
  cephfs: true,
  configMap: { ...ITEMS_SOURCE, name: true },
  csi: true,
  downwardAPI: { defaultMode: true, items: true },
  emptyDir: { medium: true, sizeLimit: true },
  ephemeral: true,
  gcePersistentDisk: true,
  hostPath: { path: true, type: true },
  iscsi: true,
  awsElasticBlockStore: true,
  fc: true,
  nfs: true,
  persistentVolumeClaim: { claimName: true, readOnly: true },
  projected: { defaultMode: true, sources: true },
  rbd: true,
  secret: { ...ITEMS_SOURCE, secretName: true },
};

const POD_SPEC: Shape = {
  activeDeadlineSeconds: true,
  affinity: true,
  automountServiceAccountToken: true,
  containers: [CONTAINER],
  dnsConfig: true,
  dnsPolicy: true,
  enableServiceLinks: true,
  hostAliases: true,
  hostIPC: true,
  hostNetwork: true,
  hostPID: true,
  hostname: true,
  imagePullSecrets: true,
  initContainers: [CONTAINER],
  nodeName: true,
  nodeSelector: true,
  os: true,
  overhead: true,
  preemptionPolicy: true,
  priority: true,
  priorityClassName: true,
  readinessGates: true,
  resourceClaims: true,
  resources: true,
  restartPolicy: true,
  runtimeClassName: true,
  schedulerName: true,
  schedulingGates: true,
  securityContext: {
    appArmorProfile: PROFILE,
    fsGroup: true,
    fsGroupChangePolicy: true,
    runAsGroup: true,
    runAsNonRoot: true,
    runAsUser: true,
    seccompProfile: PROFILE,
    supplementalGroups: true,
    supplementalGroupsPolicy: true,
    sysctls: [{ name: true, value: true }],
  },
  serviceAccount: true,
  serviceAccountName: true,
  setHostnameAsFQDN: true,
  shareProcessNamespace: true,
  subdomain: true,
  terminationGracePeriodSeconds: true,
  tolerations: true,
  topologySpreadConstraints: true,
  volumes: [VOLUME],
};

const TEMPLATE: Shape = { metadata: METADATA, spec: POD_SPEC };

const HEADER = { apiVersion: true, kind: true, metadata: METADATA, status: true } as const;

const JOB_SPEC: Shape = {
  activeDeadlineSeconds: true,
  backoffLimit: true,
  backoffLimitPerIndex: true,
  completionMode: true,
  completions: true,
  managedBy: true,
  manualSelector: true,
  maxFailedIndexes: true,
  parallelism: true,
  podFailurePolicy: true,
  podReplacementPolicy: true,
  selector: true,
  successPolicy: true,
  suspend: true,
  template: TEMPLATE,
  ttlSecondsAfterFinished: true,
};

const REPLICAS = { minReadySeconds: true, replicas: true, selector: true, template: TEMPLATE } as const;

const KINDS: Readonly<Record<string, Shape>> = {
  ConfigMap: { ...HEADER, binaryData: true, data: true, immutable: true },
  CronJob: {
    ...HEADER,
    spec: {
      concurrencyPolicy: true,
      failedJobsHistoryLimit: true,
      jobTemplate: { metadata: METADATA, spec: JOB_SPEC },
      schedule: true,
      startingDeadlineSeconds: true,
      successfulJobsHistoryLimit: true,
      suspend: true,
      timeZone: true,
    },
  },
  DaemonSet: { ...HEADER, spec: { ...REPLICAS, revisionHistoryLimit: true, updateStrategy: true } },
  Deployment: {
    ...HEADER,
    spec: {
      ...REPLICAS,
      paused: true,
      progressDeadlineSeconds: true,
      revisionHistoryLimit: true,
      strategy: true,
    },
  },
  Job: { ...HEADER, spec: JOB_SPEC },
  Pod: { ...HEADER, spec: POD_SPEC },
  ReplicaSet: { ...HEADER, spec: REPLICAS },
  ReplicationController: { ...HEADER, spec: REPLICAS },
  Secret: { ...HEADER, data: true, immutable: true, stringData: true, type: true },
  StatefulSet: {
    ...HEADER,
    spec: {
      ...REPLICAS,
      ordinals: true,
      persistentVolumeClaimRetentionPolicy: true,
      podManagementPolicy: true,
      revisionHistoryLimit: true,
      serviceName: true,
      updateStrategy: true,
      volumeClaimTemplates: true,
    },
  },
};

/** @throws KataError `unsupported-field` naming the first field of `document` that is not known. */
export function checkFields(kind: string, document: Json): void {
  const shape = KINDS[kind];
  if (shape) check(document, shape, kind);
}

function check(value: Json, shape: Shape, path: string): void {
  if (shape === true) return;
  if (isList(shape)) {
    if (Array.isArray(value)) for (const [i, item] of value.entries()) check(item, shape[0], `${path}[${i}]`);
    return;
  }
  if (!isObject(value)) return;
  for (const [field, content] of Object.entries(value)) {
    const below = Object.hasOwn(shape, field) ? shape[field] : undefined;
    if (below === undefined) {
      throw new KataError("unsupported-field", {
        operation: "read Kubernetes object",
        object: `${path}.${field}`,
        hint: "its effect on the policy is not known; --silent-unsupported-fields ignores it",
      });
    }
    check(content, below, `${path}.${field}`);
  }
}

function isList(shape: Shape): shape is readonly [Shape] {
  return Array.isArray(shape);
}
