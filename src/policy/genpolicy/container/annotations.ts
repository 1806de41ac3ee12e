/** The annotations of a container's spec, which say what it is to whom. */
import type { Pod, PodContainer } from "../kubernetes/pod.ts";
import type { Settings } from "../settings.ts";

/** Annotations by which the policy itself travels; they are no part of it. */
export const POLICY_ANNOTATION = "io.katacontainers.config.agent.policy";
export const INITDATA_ANNOTATION = "io.katacontainers.config.hypervisor.cc_init_data";

export function pauseAnnotations(pod: Pod, settings: Settings): Record<string, string> {
  // A network made by a plug-in has a name of this form; a pod on the host's network has none of its own.
  const plugin = pod.usesHostNetwork ? "cnitest" : "cni";
  const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
  return sorted({
    "nerdctl/network-namespace": `^/var/run/netns/${plugin}-${uuid}$`,
    ...podAnnotations(pod, settings.pause.annotations),
  });
}

export function containerAnnotations(
  pod: Pod,
  container: PodContainer,
  imageName: string,
  settings: Settings,
): Record<string, string> {
  return sorted({
    "io.kubernetes.cri.image-name": imageName,
    "io.kubernetes.cri.container-name": container.name,
    ...podAnnotations(pod, settings.other.annotations),
  });
}

function podAnnotations(pod: Pod, usual: Readonly<Record<string, string>>): Record<string, string> {
  const { [POLICY_ANNOTATION]: _policy, [INITDATA_ANNOTATION]: _initdata, ...own } = pod.annotations;
  // What the container manager says of a container is not the pod's to change.
  return {
    ...own,
    ...usual,
    ...(pod.nameExpression === undefined ? {} : { "io.kubernetes.cri.sandbox-name": pod.nameExpression }),
    "io.kubernetes.cri.sandbox-namespace": pod.namespace,
  };
}

function sorted(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1)));
}
