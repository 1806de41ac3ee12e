import { expect, test } from "vitest";
import { memoryItem, parseCpuTimes, parseDisks, parseMemory, parseVmStat } from "./metrics.ts";

test.each([
  ["MemTotal", "mem_total"],
  ["Active(anon)", "active_anon"],
  ["AnonHugePages", "anon_hugepages"],
  ["HugePages_Rsvd", "hugepages_rsvd"],
  ["Hugepagesize", "hugepagesize"],
  ["DirectMap4k", "direct_map_4k"],
  ["DirectMap2M", "direct_map_2M"],
  ["KReclaimable", "k_reclaimable"],
  ["SUnreclaim", "s_unreclaim"],
  ["Committed_AS", "committed_as"],
  ["ShmemPmdMapped", "shmem_pmd_mapped"],
  ["VmallocTotal", "vmalloc_total"],
  ["Percpu", "per_cpu"],
])("memoryItem() calls %s %s, as upstream does", (name, item) => {
  expect(memoryItem(name)).toBe(item);
});

test("parseMemory() turns kB into bytes and keeps plain numbers", () => {
  expect(parseMemory("MemTotal:       2048 kB\nHugePages_Total:\t3\nName:\tagent\n")).toEqual([
    [{ item: "mem_total" }, 2097152],
    [{ item: "hugepages_total" }, 3],
  ]);
});

test("parseCpuTimes() names every CPU and the total", () => {
  expect(parseCpuTimes("cpu  1 2\ncpu0 1 2\nintr 5\n")).toEqual([
    [{ cpu: "total", item: "user" }, 1],
    [{ cpu: "total", item: "nice" }, 2],
    [{ cpu: "0", item: "user" }, 1],
    [{ cpu: "0", item: "nice" }, 2],
  ]);
});

test("parseDisks() names the columns that the kernel has, in its order", () => {
  const samples = parseDisks(" 254       0 vda 1 2 3 4 5 6 7 8 9 10 11\n");
  expect(samples).toHaveLength(11);
  expect(samples.slice(0, 3)).toEqual([
    [{ disk: "vda", item: "reads" }, 1],
    [{ disk: "vda", item: "merged" }, 2],
    [{ disk: "vda", item: "sectors_read" }, 3],
  ]);
  expect(samples[10]).toEqual([{ disk: "vda", item: "weighted_time_in_progress" }, 11]);
});

test("parseVmStat() keeps the kernel's names", () => {
  expect(parseVmStat("nr_free_pages 12\nbad line\npgfault 3\n")).toEqual([
    [{ item: "nr_free_pages" }, 12],
    [{ item: "pgfault" }, 3],
  ]);
});
