/** What the stand-in reads of a machine's description, once that has the API's shape. Source: Cloud Hypervisor's API, VmConfig. */
import type { ConfinementRequest } from "./confinement.ts";
import type { PayloadRequest } from "./payload.ts";

export interface Share {
  readonly id?: string;
  readonly tag: string;
  readonly socket: string;
  readonly queue_size: number;
}

export interface Config extends ConfinementRequest, PayloadRequest {
  readonly cpus: { readonly boot_vcpus: number; readonly max_vcpus: number };
  readonly memory: {
    readonly size: number;
    readonly shared?: boolean;
    readonly hotplug_size?: number;
    readonly hotplug_method?: "Acpi" | "VirtioMem";
  };
  readonly disks?: readonly {
    readonly id?: string;
    readonly path: string;
    readonly readonly?: boolean;
    readonly serial?: string;
  }[];
  readonly fs?: readonly Share[];
  readonly vsock?: { readonly cid: number; readonly socket: string };
}
