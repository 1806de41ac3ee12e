/** The network of a sandbox, by what its specification and configuration ask for. */
import type { NetworkDevice } from "../hypervisor/network-device.ts";
import type { LinkOptions } from "./attach-link.ts";
import type { NetworkChoice } from "./network-choice.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import { type GuestNetwork, PodNetwork } from "./pod-network.ts";

export interface SandboxNetwork {
  /** The file of the namespace that the machine's programs live in; undefined: each in a new one. */
  readonly namespacePath: string | undefined;
  readonly devices: readonly NetworkDevice[];
  readonly guest: GuestNetwork;
  /** What can be followed while the sandbox lives. */
  readonly pod: PodNetwork | undefined;
  /** Closes what the machine has copies of by now. */
  closeDescriptors(): void;
  /** Undoes everything; no error if the namespace is gone. */
  disconnect(): Promise<void>;
}

const NOTHING: GuestNetwork = { interfaces: [], routes: [], neighbours: [] };

/** Of a machine that has nothing but loopback. */
export const NO_NETWORK: SandboxNetwork = {
  namespacePath: undefined,
  devices: [],
  guest: NOTHING,
  pod: undefined,
  closeDescriptors: () => undefined,
  disconnect: () => Promise.resolve(),
};

/** @throws KataError; nothing is left in the pod's namespace then. */
export async function joinNetwork(choice: NetworkChoice, options: LinkOptions): Promise<SandboxNetwork> {
  if (choice.kind === "loopback") return NO_NETWORK;
  if (choice.kind === "left") return { ...NO_NETWORK, namespacePath: choice.path };
  if (choice.kind === "described") {
    const { joinDanNetwork } = await import("./dan-network.ts");
    return await joinDanNetwork(choice.file, options);
  }
  const namespace = choice.kind === "new" ? NetworkNamespace.create() : NetworkNamespace.open(choice.path);
  const pod = await PodNetwork.connect(namespace, options);
  const { devices, guest } = pod;
  return {
    namespacePath: namespace.path,
    devices,
    guest,
    pod,
    closeDescriptors: () => pod.closeDescriptors(),
    disconnect: () => pod.disconnect(),
  };
}
