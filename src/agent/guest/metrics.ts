/**
 * The guest's and the agent's own figures in the Prometheus text format.
 * Sources: proc(5); upstream's metric families `kata_agent_` and `kata_guest_`.
 */
import { readTextFileIfExists } from "../../sys/files.ts";

/** Bytes of a page in /proc/self/statm; the same on both architectures as we configure them. */
const PAGE_BYTES = 4096;

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** One family as text. */
function family(name: string, help: string, samples: readonly Sample[]): string {
  if (samples.length === 0) return "";
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`);
    return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join("")}`;
}

/** `Name: 12 kB` lines as samples in bytes, other numbers as they are. */
export function parseColonLines(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const [, name = "", number, unit] of text.matchAll(/^([^:\s]+):\s+(\d+)( kB)?$/gm)) {
    samples.push([{ item: name.toLowerCase() }, Number(number) * (unit === undefined ? 1 : 1024)]);
  }
  return samples;
}

/** /proc/net/dev. */
export function parseNetworkDevices(text: string): Sample[] {
  const received = ["recv_bytes", "recv_packets", "recv_errs", "recv_drop", "recv_fifo", "recv_frame"];
  const columns = [
    ...received,
    "recv_compressed",
    "recv_multicast",
    "sent_bytes",
    "sent_packets",
    "sent_errs",
    "sent_drop",
    "sent_fifo",
    "sent_colls",
    "sent_carrier",
    "sent_compressed",
  ];
  return text
    .split("\n")
    .slice(2)
    .flatMap((line): Sample[] => {
      const [device, rest] = line.split(":");
      if (device === undefined || rest === undefined) return [];
      const numbers = rest.trim().split(/\s+/).map(Number);
      return columns.map((item, index) => [{ interface: device.trim(), item }, numbers[index] ?? 0]);
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

let scrapes = 0;

/** All families; what a kernel does not tell is left out. */
export function collectMetrics(): string {
  scrapes++;
  const file = (path: string) => readTextFileIfExists(path) ?? "";
  const [size = 0, resident = 0] = file("/proc/self/statm").split(" ").map(Number);
  const load = file("/proc/loadavg").split(" ");
  const status = file("/proc/self/status");
  return [
    family("kata_agent_scrape_count", "Scrapes of the agent.", [[{}, scrapes]]),
    family("kata_agent_total_vm", "Virtual memory of the agent, bytes.", [[{}, size * PAGE_BYTES]]),
    family("kata_agent_total_rss", "Resident memory of the agent, bytes.", [[{}, resident * PAGE_BYTES]]),
    family("kata_agent_threads", "Threads of the agent.", [
      [{}, Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0)],
    ]),
    family("kata_agent_proc_status", "The agent's /proc status.", parseColonLines(status)),
    family("kata_agent_io_stat", "The agent's /proc I/O counters.", parseColonLines(file("/proc/self/io"))),
    family("kata_guest_load", "Load average of the guest.", [
      [{ item: "load1" }, Number(load[0] ?? 0)],
      [{ item: "load5" }, Number(load[1] ?? 0)],
      [{ item: "load15" }, Number(load[2] ?? 0)],
    ]),
    family("kata_guest_tasks", "Tasks of the guest.", [
      [{ item: "cur" }, Number(load[3]?.split("/")[0] ?? 0)],
      [{ item: "max" }, Number(load[3]?.split("/")[1] ?? 0)],
    ]),
    family("kata_guest_cpu_time", "CPU time of the guest, clock ticks.", parseCpuTimes(file("/proc/stat"))),
    family("kata_guest_meminfo", "Memory of the guest, bytes.", parseColonLines(file("/proc/meminfo"))),
    family(
      "kata_guest_netdev_stat",
      "Network devices of the guest.",
      parseNetworkDevices(file("/proc/net/dev")),
    ),
  ].join("");
}
