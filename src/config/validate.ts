/** Rules between keys: each value is right by itself, and yet they cannot all be kept. */
import type { Configuration, SectionName } from "./configuration.ts";

/** A rule that does not hold, and the key to point at. */
export interface Contradiction {
  readonly section: SectionName;
  readonly key: string;
  readonly why: string;
}

/** Least memory of a machine, MiB, and most CPUs, by driver. */
const LEAST_MEMORY = 64;
const LEAST_MEMORY_FIRECRACKER = 128;
const MOST_CPUS = 256;
const FEW_CPUS = 32;

/** All contradictions in `configuration`, most telling first. */
export function findContradictions(configuration: Configuration): Contradiction[] {
  return [
    ...assetRules(configuration),
    ...sizeRules(configuration),
    ...deviceRules(configuration),
    ...runtimeRules(configuration),
  ];
}

function* assetRules({ driver, hypervisor }: Configuration): Generator<Contradiction> {
  const { image, initrd, kernel, confidential_guest, kernel_verity_params: verity } = hypervisor;
  // With hashes of the image, the archive is what opens it.
  if (image !== "" && initrd !== "" && verity === "")
    yield hypervisorRule("image", "image and initrd are both set; a guest has one root");
  if (driver === "remote") return;
  if (image !== "" && (!image.startsWith("/") || image.split("/").includes("..")))
    yield hypervisorRule("image", `it has to be an absolute path without .., got ${JSON.stringify(image)}`);
  if (image === "" && initrd === "" && !confidential_guest)
    yield hypervisorRule("image", "neither image nor initrd is set");
  if (kernel === "" && hypervisor.firmware === "" && hypervisor.igvm === "")
    yield hypervisorRule("kernel", "there is neither a kernel nor a firmware to boot");
  if (hypervisor.path === "" && driver !== "dragonball")
    yield hypervisorRule("path", "it has to be set for this driver");
}

function* sizeRules({ driver, hypervisor, runtime }: Configuration): Generator<Contradiction> {
  const least = driver === "firecracker" ? LEAST_MEMORY_FIRECRACKER : LEAST_MEMORY;
  // AKS sizes a machine by its pod alone.
  const workload = runtime.static_sandbox_resource_mgmt ? runtime.static_sandbox_default_workload_mem : 0;
  if (hypervisor.default_memory + workload < least)
    yield hypervisorRule("default_memory", `${driver} needs at least ${least} MiB`);
  const { default_maxmemory: maxMemory, default_maxvcpus: maxCpus, default_vcpus: cpus } = hypervisor;
  if (maxMemory !== 0 && maxMemory < hypervisor.default_memory) {
    yield hypervisorRule("default_maxmemory", "it is below default_memory");
  }
  const most = driver === "firecracker" || driver === "remote" ? FEW_CPUS : MOST_CPUS;
  if (maxCpus > most) yield hypervisorRule("default_maxvcpus", `${driver} has at most ${most} CPUs`);
  if (cpus > most) yield hypervisorRule("default_vcpus", `${driver} has at most ${most} CPUs`);
  if (maxCpus !== 0 && cpus > maxCpus) yield hypervisorRule("default_maxvcpus", "it is below default_vcpus");
  if (hypervisor.numa_mapping.length > 0 && !hypervisor.enable_numa) {
    yield hypervisorRule("numa_mapping", "it needs enable_numa");
  }
}

/** Source: qemu(1), `-sandbox`. */
const SYSTEM_CALL_FILTER =
  /^((on|off)(,(obsolete|elevateprivileges|spawn|resourcecontrol)=(allow|deny|children))*)?$/;

function* deviceRules({ driver, hypervisor }: Configuration): Generator<Contradiction> {
  const { hot_plug_vfio: hot, cold_plug_vfio: cold } = hypervisor;
  if (hot !== "no-port" && cold !== "no-port") {
    yield hypervisorRule(
      "cold_plug_vfio",
      "hot_plug_vfio and cold_plug_vfio are both set; devices are plugged in one way",
    );
  }
  if (driver === "clh") {
    if (hot !== "no-port" && hot !== "root-port")
      yield hypervisorRule("hot_plug_vfio", "clh has only root ports");
    if (cold !== "no-port" && cold !== "root-port")
      yield hypervisorRule("cold_plug_vfio", "clh has only root ports");
  }
  if (hypervisor.enable_vhost_user_store && !hypervisor.enable_hugepages) {
    yield hypervisorRule("enable_vhost_user_store", "it needs enable_hugepages, as the memory is shared");
  }
  const { block_device_logical_sector_size: logical, block_device_physical_sector_size: physical } =
    hypervisor;
  for (const [key, size] of [
    ["block_device_logical_sector_size", logical],
    ["block_device_physical_sector_size", physical],
  ] as const) {
    if (size !== 0 && (size < 512 || (size & (size - 1)) !== 0)) {
      yield hypervisorRule(key, `${size} is neither 0 nor a power of two from 512 to 65536`);
    }
  }
  if (physical !== 0 && logical > physical) {
    yield hypervisorRule("block_device_logical_sector_size", "it is above block_device_physical_sector_size");
  }
  if (!SYSTEM_CALL_FILTER.test(hypervisor.seccompsandbox)) {
    yield hypervisorRule(
      "seccompsandbox",
      "it is on or off, with =allow or =deny for groups of calls behind it",
    );
  }
  if (hypervisor.firmware_volume !== "" && hypervisor.firmware === "") {
    yield hypervisorRule("firmware_volume", "it needs firmware, whose variables these are");
  }
  if (hypervisor.shared_fs === "inline-virtio-fs" && driver !== "dragonball") {
    yield hypervisorRule("shared_fs", "inline-virtio-fs is dragonball's alone");
  }
  if (hypervisor.shared_fs !== "none" && driver === "firecracker") {
    yield hypervisorRule("shared_fs", 'firecracker shares no directories; it has to be "none"');
  }
  if (hypervisor.sev_snp_guest && !hypervisor.confidential_guest) {
    yield hypervisorRule("sev_snp_guest", "it needs confidential_guest");
  }
}

function* runtimeRules({ driver, hypervisor, factory, runtime }: Configuration): Generator<Contradiction> {
  if (runtime.disable_new_netns && runtime.internetworking_model !== "none") {
    yield { section: "runtime", key: "disable_new_netns", why: 'it needs internetworking_model = "none"' };
  }
  if (factory.vm_cache_number > 0 && driver !== "qemu") {
    yield { section: "factory", key: "vm_cache_number", why: "only qemu's machines can be kept ready" };
  }
  if (factory.enable_template && (driver === "remote" || driver === "stratovirt")) {
    yield { section: "factory", key: "enable_template", why: `${driver} cannot clone machines` };
  }
  if (hypervisor.boot_from_template && hypervisor.boot_to_be_template) {
    yield hypervisorRule("boot_from_template", "boot_to_be_template is set too");
  }
}

function hypervisorRule(key: string, why: string): Contradiction {
  return { section: "hypervisor", key, why };
}

/** Values that have no effect. */
export function findOddities({ driver, hypervisor }: Configuration): Contradiction[] {
  const odd: Contradiction[] = [];
  const { hot_plug_vfio: hot } = hypervisor;
  for (const [port, key] of [
    ["root-port", "pcie_root_port"],
    ["switch-port", "pcie_switch_port"],
  ] as const) {
    if (driver === "qemu" && hot === port && hypervisor[key] === 0)
      odd.push(hypervisorRule("hot_plug_vfio", `there is no ${port} without ${key}`));
  }
  if (hypervisor.extra_monitor_socket !== "" && !hypervisor.enable_debug) {
    odd.push(hypervisorRule("extra_monitor_socket", "it has no effect without enable_debug"));
  }
  return odd;
}
