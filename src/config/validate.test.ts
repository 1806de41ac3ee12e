import { describe, expect, test } from "vitest";
import { parseConfiguration } from "./parse-configuration.ts";

const FILE = "/c.toml";

/** Rules between keys: [driver, lines that break it, the key that is pointed at, lines that keep it]. */
const RULES: readonly (readonly [driver: string, broken: string, key: string, kept: string])[] = [
  ["qemu", 'image = "/a"\ninitrd = "/b"', "image", 'image = "/a"\ninitrd = ""'],
  ["qemu", 'image = "cloud-image"\ninitrd = ""', "image", 'image = "/cloud-image"\ninitrd = ""'],
  ["qemu", 'image = "/a/../b"\ninitrd = ""', "image", 'image = "/a/b"\ninitrd = ""'],
  ["qemu", 'image = ""\ninitrd = ""', "image", 'image = ""\ninitrd = ""\nconfidential_guest = true'],
  ["qemu", 'kernel = ""', "kernel", 'kernel = ""\nfirmware = "/OVMF.fd"'],
  ["qemu", 'path = ""', "path", 'path = "/usr/bin/qemu"'],
  ["qemu", "default_memory = 63", "default_memory", "default_memory = 64"],
  ["firecracker", "default_memory = 127", "default_memory", "default_memory = 128"],
  ["qemu", "default_maxmemory = 2047", "default_maxmemory", "default_maxmemory = 2048"],
  ["qemu", "default_maxvcpus = 257", "default_maxvcpus", "default_maxvcpus = 256"],
  ["firecracker", "default_maxvcpus = 33", "default_maxvcpus", "default_maxvcpus = 32"],
  ["remote", "default_vcpus = 33", "default_vcpus", "default_vcpus = 32"],
  [
    "qemu",
    "default_vcpus = 3\ndefault_maxvcpus = 2",
    "default_maxvcpus",
    "default_vcpus = 2\ndefault_maxvcpus = 2",
  ],
  ["qemu", 'numa_mapping = ["0"]', "numa_mapping", 'numa_mapping = ["0"]\nenable_numa = true'],
  [
    "qemu",
    'hot_plug_vfio = "root-port"\ncold_plug_vfio = "root-port"',
    "cold_plug_vfio",
    'hot_plug_vfio = "root-port"\ncold_plug_vfio = "no-port"',
  ],
  ["clh", 'hot_plug_vfio = "switch-port"', "hot_plug_vfio", 'hot_plug_vfio = "root-port"'],
  ["clh", 'cold_plug_vfio = "bridge-port"', "cold_plug_vfio", 'cold_plug_vfio = "root-port"'],
  [
    "qemu",
    "enable_vhost_user_store = true",
    "enable_vhost_user_store",
    "enable_vhost_user_store = true\nenable_hugepages = true",
  ],
  [
    "qemu",
    "block_device_logical_sector_size = 513",
    "block_device_logical_sector_size",
    "block_device_logical_sector_size = 512",
  ],
  [
    "qemu",
    "block_device_physical_sector_size = 256",
    "block_device_physical_sector_size",
    "block_device_physical_sector_size = 4096",
  ],
  [
    "qemu",
    "block_device_logical_sector_size = 4096\nblock_device_physical_sector_size = 512",
    "block_device_logical_sector_size",
    "block_device_logical_sector_size = 512\nblock_device_physical_sector_size = 4096",
  ],
  [
    "qemu",
    'seccompsandbox = "on,spawn=maybe"',
    "seccompsandbox",
    'seccompsandbox = "on,obsolete=deny,spawn=deny"',
  ],
  [
    "qemu",
    'firmware_volume = "/VARS.fd"',
    "firmware_volume",
    'firmware_volume = "/VARS.fd"\nfirmware = "/CODE.fd"',
  ],
  ["qemu", 'shared_fs = "inline-virtio-fs"', "shared_fs", 'shared_fs = "virtio-fs"'],
  ["qemu", "sev_snp_guest = true", "sev_snp_guest", "sev_snp_guest = true\nconfidential_guest = true"],
  [
    "qemu",
    "boot_from_template = true\nboot_to_be_template = true",
    "boot_from_template",
    "boot_from_template = true",
  ],
  [
    "qemu",
    "[runtime]\ndisable_new_netns = true",
    "disable_new_netns",
    '[runtime]\ndisable_new_netns = true\ninternetworking_model = "none"',
  ],
  ["clh", "[factory]\nvm_cache_number = 1", "vm_cache_number", "[factory]\nvm_cache_number = 0"],
  [
    "stratovirt",
    "[factory]\nenable_template = true",
    "enable_template",
    "[factory]\nenable_template = false",
  ],
];

describe("keys that cannot all be kept", () => {
  test.each(RULES)("[hypervisor.%s] %j is refused at %s", (driver, broken, key) => {
    const refused = () => parseConfiguration(`[hypervisor.${driver}]\n${broken}\n`, FILE, { strict: true });
    expect(refused).toThrowError(expect.objectContaining({ code: "invalid-configuration" }));
    expect(refused).toThrowError(new RegExp(`^read configuration: /c\\.toml:\\d+:1: ${key}: .+ \\(.+\\)$`));
  });

  test.each(RULES)(
    "[hypervisor.%s] %j is refused, and %s accepted with %j",
    (driver, _broken, _key, kept) => {
      const configuration = parseConfiguration(`[hypervisor.${driver}]\n${kept}\n`, FILE, { strict: true });
      expect(configuration.driver).toBe(driver);
    },
  );
});
