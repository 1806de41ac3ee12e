/** kata-monitor over shims that run. */
import { describe, expect } from "vitest";
import { startKataMonitor } from "../harness/kata-monitor.ts";
import { test } from "../harness/workbench.ts";

const SLEEP = "while :; do sleep 1; done";

describe("kata-monitor", () => {
  test("serves the figures of all sandboxes, with what they belong to", async ({ bench }) => {
    const ids = [await bench.detach(SLEEP), await bench.detach(SLEEP)];
    await using monitor = await startKataMonitor(bench.ctr.instance.socket);
    const { get } = monitor;
    expect((await get("/sandboxes")).body.split("\n")).toEqual(expect.arrayContaining(ids));
    expect((await get("/sandboxes", { accept: "text/html" })).body).toContain(
      `<a href="/metrics?sandbox=${ids[0]}">`,
    );
    expect((await get("/")).body).toMatch(/^\/metrics: /);

    const { status, type, body } = await get("/metrics");
    expect({ status, type }).toEqual({ status: 200, type: "text/plain; version=0.0.4; charset=utf-8" });
    for (const id of ids) {
      const labels = `sandbox_id="${id}",cri_uid="",cri_name="",cri_namespace=""`;
      expect(body).toContain(`kata_shim_threads{${labels}} 1\n`);
      expect(body).toContain(`kata_guest_load{item="load1",${labels}} `);
    }
    // A family is told once.
    expect(body.match(/^# TYPE kata_shim_threads /gm)).toHaveLength(1);
    expect(Number(/^kata_monitor_running_shim_count (\d+)$/m.exec(body)?.[1])).toBeGreaterThanOrEqual(2);
    expect(body).toMatch(/^kata_monitor_scrape_failed_count 0$/m);

    const one = await get(`/metrics?sandbox=${ids[0]}&filter_family=kata_hypervisor_threads`);
    expect(one.body).toMatch(
      new RegExp(`^# HELP .*\\n# TYPE kata_hypervisor_threads gauge\\n.*sandbox_id="${ids[0]}".*\\n$`),
    );
    expect((await get("/metrics?sandbox=nobody")).status).toBe(404);
    expect((await get("/agent-url")).status).toBe(400);
    expect([200, 501]).toContain((await get(`/agent-url?sandbox=${ids[0]}`)).status);
    expect((await get("/nothing")).status).toBe(404);
    expect(await monitor.end()).toBe(0);
  });
});
