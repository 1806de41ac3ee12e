/** Which nodes of a specification stand for PCI cards of the host; what is behind them is found when there are some. */
import type { LinuxDevice, Spec } from "../../oci/types.ts";
import { mayUseAll } from "../storage/block-devices.ts";
import type { Logger } from "../types.ts";

const VFIO_NODES = "/dev/vfio/";
/** Not a card, but what groups of them are used by: the guest has its own. */
const CONTAINER_NODE = "/dev/vfio/vfio";

/** A privileged container is given all of the host's nodes: that is no wish for all of its cards, which other pods have. */
export function vfioNodesFor(spec: Spec, logger: Logger): LinuxDevice[] {
  const nodes = (spec.linux?.devices ?? []).filter(
    ({ type, path }) => type !== "b" && path.startsWith(VFIO_NODES) && path !== CONTAINER_NODE,
  );
  if (nodes.length === 0 || !mayUseAll(spec)) return nodes;
  logger.warn("VFIO devices of the host are not given to a privileged container as a whole", {
    devices: nodes.map(({ path }) => path).join(" "),
    hint: "set privileged_without_host_devices in containerd's configuration, and name the devices that it needs",
  });
  return [];
}
