/** What a host asks of the pod's agent, and what the agent has for it. */
import type { Spec } from "../../oci/types.ts";
import type { Logger } from "../../sys/log.ts";
import type { KernelModules } from "../boot/kernel-modules.ts";
import type { ChildReaper } from "../child-reaper.ts";
import type { CgroupRoom } from "../container/container-cgroup.ts";
import type { PluggedDevice } from "../device/container-devices.ts";
import type { MachineIdentity } from "../guest/machine-identity.ts";
import type { PolicyGate } from "../policy/policy-gate.ts";
import type { Settings } from "../settings.ts";
import type { Storage } from "../storage/storage.ts";
import type { GuestNetwork } from "./sandbox-network.ts";

export interface SandboxRequest {
  readonly id: string;
  readonly hostname: string;
  /** Lines of resolv.conf. */
  readonly dns: readonly string[];
  readonly storages: readonly Storage[];
  /** Whether all containers are in one pid namespace. */
  readonly sharedPidNamespace: boolean;
  /** Kernel modules that the pod needs. */
  readonly modules: readonly ModuleRequest[];
  /** Directory of hooks in the guest; empty for none. */
  readonly guestHookPath: string;
  /** Makes what is the same for every pod: the machine is saved or kept ready, and a second request tells of its pod. */
  readonly prepare: boolean;
  /** For a clone: who it is from now on. */
  readonly identity: MachineIdentity | undefined;
  readonly network: GuestNetwork;
  /** Puts the machine's network cards out of sight until a request has interfaces. */
  readonly parkCards: boolean;
}

export interface ModuleRequest {
  readonly name: string;
  /** `name=value` texts. */
  readonly parameters: readonly string[];
}

export interface NewContainer {
  readonly id: string;
  readonly spec: Spec;
  /** What the host has plugged in for it. */
  readonly devices: readonly PluggedDevice[];
  readonly storages: readonly Storage[];
  /** Whether it is in the pod's pid namespace. */
  readonly sharedPidNamespace: boolean;
}

export interface SandboxContext {
  readonly settings: Settings;
  readonly reaper: ChildReaper;
  readonly cgroups: CgroupRoom;
  readonly logger: Logger;
  readonly policy: PolicyGate;
  /** Whether the machine is the agent's own. */
  readonly isGuest: boolean;
  /** The guest's modules; undefined natively. */
  readonly modules?: KernelModules | undefined;
  /** The directory that the machine booted from; undefined natively. */
  readonly initialRoot?: number | undefined;
}
