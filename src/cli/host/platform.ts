/** What kind of machine the host is: whose hardware or cloud, and whether it is a container. */
import type { CpuInfo } from "./cpu-info.ts";
import { existsIn, type HostRoot, textIn } from "./host-root.ts";

export interface Platform {
  /** `Amazon EC2 m5.metal`, as the firmware tells it; empty if it does not. */
  readonly name: string;
  readonly cloud: "azure" | "aws" | "gcp" | undefined;
  /** A virtual machine, as far as the processor shows it. */
  readonly isVirtual: boolean;
  /** Docker or Podman started the program. */
  readonly isContainer: boolean;
}

/** Sources: Linux Documentation/ABI/testing/sysfs-firmware-dmi-entries; containerenv(5). */
export function readPlatform(host: HostRoot, cpu: CpuInfo): Platform {
  const dmi = (name: string) => textIn(host, `/sys/class/dmi/id/${name}`)?.trim() ?? "";
  const [vendor, product] = [dmi("sys_vendor"), dmi("product_name")];
  return {
    name: product.startsWith(vendor) ? product : `${vendor} ${product}`.trim(),
    cloud: cloudOf(vendor, product),
    isVirtual: cpu.flags.has("hypervisor"),
    isContainer: existsIn(host, "/.dockerenv") || existsIn(host, "/run/.containerenv"),
  };
}

function cloudOf(vendor: string, product: string): Platform["cloud"] {
  if (vendor === "Microsoft Corporation" && product === "Virtual Machine") return "azure";
  if (vendor === "Amazon EC2") return "aws";
  return vendor === "Google" ? "gcp" : undefined;
}

/** What gives such a machine hardware virtualization; undefined if it is not one of those that are known. */
export function nestingFix({ cloud }: Platform): string | undefined {
  switch (cloud) {
    case "azure":
      return "take a size with nested virtualization: kata-runtime azure sizes --usable yes; on AKS: kata-runtime azure plan";
    case "aws":
      return "take a metal instance, such as i3.metal";
    case "gcp":
      return "make the instance with nested virtualization: gcloud compute instances create --enable-nested-virtualization";
    default:
      return undefined;
  }
}
