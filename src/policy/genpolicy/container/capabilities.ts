/** The capabilities of a container. Source: containerd's CRI plug-in, spec_linux.go. */
import type { PodContainer } from "../kubernetes/pod.ts";
import type { CapabilityPolicy } from "../policy-data.ts";
import type { Settings } from "../settings.ts";

/** The usual sets stay one word, so that one edit of the settings changes them everywhere. */
export function containerCapabilities(container: PodContainer, settings: Settings): CapabilityPolicy {
  const { privileged, addedCapabilities, droppedCapabilities } = container.security;
  const all = settings.privilegedCapabilities;
  let set = privileged ? [...all] : [...settings.defaultCapabilities];
  if (!privileged) {
    const added = addedCapabilities.flatMap((name) =>
      name.toUpperCase() === "ALL" ? all : [capability(name)],
    );
    // All that is dropped goes before something is added, or one capability could not be kept of all.
    if (droppedCapabilities.some((name) => name.toUpperCase() === "ALL")) set = [];
    const dropped = droppedCapabilities.map(capability);
    set = [...new Set([...set, ...added])].filter((name) => !dropped.includes(name));
  }
  const names = symbolic(set, settings);
  return { Ambient: [], Bounding: names, Effective: names, Inheritable: [], Permitted: names };
}

function capability(name: string): string {
  const upper = name.toUpperCase();
  return upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
}

function symbolic(
  set: readonly string[],
  { defaultCapabilities, privilegedCapabilities }: Settings,
): string[] {
  const equals = (other: readonly string[]) =>
    set.length === other.length && set.every((name) => other.includes(name));
  if (equals(defaultCapabilities)) return ["$(default_caps)"];
  if (equals(privilegedCapabilities)) return ["$(privileged_caps)"];
  return [...set];
}
