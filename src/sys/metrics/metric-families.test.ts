import { expect, test } from "vitest";
import { MetricFamilies } from "./metric-families.ts";

const SHIM = `# HELP kata_shim_threads Threads.
# TYPE kata_shim_threads gauge
kata_shim_threads 1
# HELP kata_shim_d Durations.
# TYPE kata_shim_d histogram
kata_shim_d_bucket{action="create",le="1"} 2
kata_shim_d_sum{action="create"} 0.5
kata_shim_d_count{action="create"} 2
`;

test("MetricFamilies tells each family once, with the samples of all and whose they are", () => {
  const families = new MetricFamilies();
  families.add(SHIM, { sandbox_id: "a" });
  families.add(SHIM.replace("threads 1", "threads 3"), { sandbox_id: 'b"\\' });
  families.add("kata_monitor_x 1\nnot a sample\n# a comment\n");
  expect(families.text).toBe(`kata_monitor_x 1
# HELP kata_shim_d Durations.
# TYPE kata_shim_d histogram
kata_shim_d_bucket{action="create",le="1",sandbox_id="a"} 2
kata_shim_d_sum{action="create",sandbox_id="a"} 0.5
kata_shim_d_count{action="create",sandbox_id="a"} 2
kata_shim_d_bucket{action="create",le="1",sandbox_id="b\\"\\\\"} 2
kata_shim_d_sum{action="create",sandbox_id="b\\"\\\\"} 0.5
kata_shim_d_count{action="create",sandbox_id="b\\"\\\\"} 2
# HELP kata_shim_threads Threads.
# TYPE kata_shim_threads gauge
kata_shim_threads{sandbox_id="a"} 1
kata_shim_threads{sandbox_id="b\\"\\\\"} 3
`);
});

test("MetricFamilies keeps to the families that are asked for", () => {
  const families = new MetricFamilies(["kata_shim_threads"]);
  families.add(SHIM);
  expect(families.text).toBe(
    "# HELP kata_shim_threads Threads.\n# TYPE kata_shim_threads gauge\nkata_shim_threads 1\n",
  );
});
