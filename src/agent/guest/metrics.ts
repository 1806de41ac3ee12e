/**
 * The guest's and the agent's own figures in the Prometheus text format.
 * Sources: proc(5); upstream's metric families `kata_agent_` and `kata_guest_`.
 */
import { hasErrno } from "../../kata-error.ts";
import { statfs } from "../../sys/files.ts";
import {
  parseNetworkDevices,
  parseStat,
  processFamilies,
  textOf,
} from "../../sys/metrics/process-figures.ts";
import { family, type Sample } from "../../sys/metrics/prometheus-text.ts";

/** Bytes of a page in /proc/self/statm; the same on both architectures as we configure them. */
const PAGE_BYTES = 4096;

/** File systems that a guest has on disks of its own: asking others of how full they are may wait for the host. */
const OWN_FILESYSTEMS = new Set(["ext4", "ext3", "ext2", "xfs", "btrfs", "tmpfs", "erofs"]);
/** A container may mount as often as it likes. */
const MAX_FILESYSTEMS = 64;

/** Names that upstream spells otherwise than by the rule of {@link memoryItem}. */
const MEMORY_ITEMS: Readonly<Record<string, string>> = {
  Percpu: "per_cpu",
  KReclaimable: "k_reclaimable",
  SReclaimable: "s_reclaimable",
  SUnreclaim: "s_unreclaim",
  Committed_AS: "committed_as",
  NFS_Unstable: "nfs_unstable",
};

/** `MemTotal` → `mem_total`, `Active(anon)` → `active_anon`, `HugePages_Free` → `hugepages_free`, `DirectMap4k` → `direct_map_4k`. */
export function memoryItem(name: string): string {
  const known = MEMORY_ITEMS[name];
  if (known !== undefined) return known;
  const [, word = name, size = ""] = /^(DirectMap)(\d+[kMG])$/.exec(name) ?? [];
  const snake = word
    .replace(/\((\w+)\)/, "_$1")
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .replace("huge_pages", "hugepages");
  return size === "" ? snake : `${snake}_${size}`;
}

/** /proc/meminfo, in bytes. */
export function parseMemory(text: string): Sample[] {
  return [...text.matchAll(/^([\w()]+):\s+(\d+)( kB)?$/gm)].map(
    ([, name = "", number, unit]): Sample => [
      { item: memoryItem(name) },
      Number(number) * (unit === undefined ? 1 : 1024),
    ],
  );
}

/** /proc/vmstat. */
export function parseVmStat(text: string): Sample[] {
  return [...text.matchAll(/^(\w+) (\d+)$/gm)].map(
    ([, item = "", number]): Sample => [{ item }, Number(number)],
  );
}

const DISK_COLUMNS = [
  ...["reads", "merged", "sectors_read", "time_reading", "writes", "writes_merged", "sectors_written"],
  ...["time_writing", "in_progress", "time_in_progress", "weighted_time_in_progress", "discards"],
  ...["discards_merged", "sectors_discarded", "time_discarding", "flushes", "time_flushing"],
];

/** /proc/diskstats; older kernels have fewer columns. */
export function parseDisks(text: string): Sample[] {
  return text.split("\n").flatMap((line): Sample[] => {
    const [, , disk, ...numbers] = line.trim().split(/\s+/);
    if (disk === undefined) return [];
    return DISK_COLUMNS.slice(0, numbers.length).map((item, index) => [
      { disk, item },
      Number(numbers[index]),
    ]);
  });
}

/** The `cpu…` lines of /proc/stat, in clock ticks. */
export function parseCpuTimes(text: string): Sample[] {
  const items = "user nice system idle iowait irq softirq steal guest guest_nice".split(" ");
  return [...text.matchAll(/^(cpu\d*) +(.+)$/gm)].flatMap(([, cpu = "", numbers = ""]) =>
    numbers
      .split(" ")
      .slice(0, items.length)
      .map(
        (number, index): Sample => [
          { cpu: cpu === "cpu" ? "total" : cpu.slice(3), item: items[index] ?? "" },
          Number(number),
        ],
      ),
  );
}

/** How full the guest's own file systems are: bytes and inodes. */
function fileSystems(mounts: string): { readonly bytes: Sample[]; readonly inodes: Sample[] } {
  const bytes: Sample[] = [];
  const inodes: Sample[] = [];
  const seen = new Set<string>();
  for (const line of mounts.split("\n")) {
    const [device = "", mount = "", type = ""] = line.split(" ");
    const key = type === "tmpfs" ? mount : device;
    if (!OWN_FILESYSTEMS.has(type) || seen.has(key) || seen.size >= MAX_FILESYSTEMS) continue;
    seen.add(key);
    try {
      const status = statfs(
        mount.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
      );
      const of = (item: string) => ({ mount, device, item });
      const { blockSize, blocks, freeBlocks, availableBlocks, files, freeFiles } = status;
      bytes.push(
        [of("total"), blocks * blockSize],
        [of("free"), freeBlocks * blockSize],
        [of("available"), availableBlocks * blockSize],
      );
      inodes.push([of("total"), files], [of("free"), freeFiles]);
    } catch (error) {
      // It has been unmounted since, or lies in what a container hides.
      if (!hasErrno(error, "ENOENT", "EACCES", "ENOTDIR")) throw error;
    }
  }
  return { bytes, inodes };
}

let scrapes = 0;

/** All families; what a kernel does not tell is left out. */
export function collectMetrics(): string {
  scrapes++;
  const [size = 0, resident = 0] = textOf("/proc/self/statm").split(" ").map(Number);
  const load = textOf("/proc/loadavg").split(" ");
  const time = parseStat(textOf("/proc/self/stat")).reduce((sum, [, ticks]) => sum + ticks, 0);
  const { bytes, inodes } = fileSystems(textOf("/proc/self/mounts"));
  return [
    family("kata_agent_scrape_count", "Scrapes of the agent.", [[{}, scrapes]], "counter"),
    family("kata_agent_total_time", "CPU time of the agent and what it waited for, clock ticks.", [
      [{}, time],
    ]),
    family("kata_agent_total_vm", "Virtual memory of the agent, bytes.", [[{}, size * PAGE_BYTES]]),
    family("kata_agent_total_rss", "Resident memory of the agent, bytes.", [[{}, resident * PAGE_BYTES]]),
    processFamilies("kata_agent", "the agent", "self"),
    family("kata_guest_load", "Load average of the guest.", [
      [{ item: "load1" }, Number(load[0] ?? 0)],
      [{ item: "load5" }, Number(load[1] ?? 0)],
      [{ item: "load15" }, Number(load[2] ?? 0)],
    ]),
    family("kata_guest_tasks", "Tasks of the guest.", [
      [{ item: "cur" }, Number(load[3]?.split("/")[0] ?? 0)],
      [{ item: "max" }, Number(load[3]?.split("/")[1] ?? 0)],
    ]),
    family("kata_guest_cpu_time", "CPU time of the guest, clock ticks.", parseCpuTimes(textOf("/proc/stat"))),
    family("kata_guest_vm_stat", "The guest's /proc/vmstat.", parseVmStat(textOf("/proc/vmstat"))),
    family("kata_guest_meminfo", "Memory of the guest, bytes.", parseMemory(textOf("/proc/meminfo"))),
    family("kata_guest_diskstat", "Disks of the guest.", parseDisks(textOf("/proc/diskstats"))),
    family(
      "kata_guest_netdev_stat",
      "Network devices of the guest.",
      parseNetworkDevices(textOf("/proc/net/dev")),
    ),
    family("kata_guest_filesystem_bytes", "File systems of the guest, bytes.", bytes),
    family("kata_guest_filesystem_inodes", "File systems of the guest, inodes.", inodes),
  ].join("");
}
