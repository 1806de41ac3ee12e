import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Monitor } from "./monitor-server.ts";
import { PodNames } from "./pod-names.ts";
import { Shims } from "./shims.ts";

let directory = "";
const servers: Server[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-monitor-"));
});
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
  rmSync(directory, { recursive: true });
});

/** A shim of sandbox `id` that answers with `answer`, below one of the two roots. */
async function startShim(
  root: "vc" | "kata",
  id: string,
  answer: (target: string) => [status: number, body: string],
) {
  mkdirSync(join(directory, root, id), { recursive: true });
  const server = createServer((request, response) => {
    const [status, body] = answer(request.url ?? "");
    response.writeHead(status, { "content-type": "text/plain" }).end(body);
  });
  servers.push(server);
  await new Promise<void>((resolve) =>
    server.listen(join(directory, root, id, "shim-monitor.sock"), resolve),
  );
}

async function startMonitor() {
  const warnings: string[] = [];
  const monitor = new Monitor({
    shims: new Shims([join(directory, "vc"), join(directory, "kata")]),
    names: new PodNames(join(directory, "nobody.sock"), () => undefined),
    log: { debug: () => undefined, warn: (message) => warnings.push(message) },
  });
  const server = monitor.server();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const get = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, init);
    return { status: answer.status, body: await answer.text() };
  };
  return { get, warnings };
}

const METRICS = "# TYPE kata_shim_threads gauge\nkata_shim_threads 1\n";

describe("kata-monitor", () => {
  test("finds shims of both runtimes, and leaves out what is none", async () => {
    await startShim("vc", "ours", () => [200, METRICS]);
    await startShim("kata", "rust", () => [200, METRICS]);
    mkdirSync(join(directory, "vc/ended"));
    mkdirSync(join(directory, "vc/<script>"));
    writeFileSync(join(directory, "vc/<script>/shim-monitor.sock"), "");
    const { get } = await startMonitor();
    expect(await get("/sandboxes")).toEqual({ status: 200, body: "ours\nrust\n" });
    const html = (await get("/sandboxes", { headers: { accept: "text/html" } })).body;
    expect(html).toContain('<li>ours: <a href="/metrics?sandbox=ours">metrics</a>');
    expect(html).not.toContain("<script>");
  });

  test("counts shims that do not answer, and tells of the others", async () => {
    await startShim("vc", "good", () => [200, METRICS]);
    await startShim("vc", "bad", () => [500, "no"]);
    const { get, warnings } = await startMonitor();
    const { body } = await get("/metrics");
    expect(body).toContain(
      'kata_shim_threads{sandbox_id="good",cri_uid="",cri_name="",cri_namespace=""} 1\n',
    );
    expect(body).not.toContain('sandbox_id="bad"');
    expect(body).toContain("kata_monitor_running_shim_count 2\n");
    expect(body).toContain("kata_monitor_scrape_failed_count 1\n");
    expect(body).toMatch(/^kata_monitor_scrape_durations_histogram_milliseconds_count 1$/m);
    expect(body).toMatch(/^kata_monitor_scrape_durations_histogram_milliseconds_bucket\{le="\+Inf"\} 1$/m);
    expect(warnings).toEqual(["metrics of bad: status 500"]);
  });

  test("packs its answers for who can unpack them", async () => {
    const { get } = await startMonitor();
    const plain = (await get("/", { headers: { "accept-encoding": "identity" } })).body;
    expect((await get("/", { headers: { "accept-encoding": "gzip" } })).body).toBe(plain);
  });

  test("passes on what a shim says of its agent and of itself, with its status", async () => {
    await startShim("vc", "one", (target) =>
      target === "/agent-url" ? [200, "vsock://3:1024"] : [404, `no ${target}`],
    );
    const { get } = await startMonitor();
    expect(await get("/agent-url?sandbox=one")).toEqual({ status: 200, body: "vsock://3:1024" });
    expect(await get("/debug/pprof/heap?sandbox=one&debug=1")).toEqual({
      status: 404,
      body: "no /debug/pprof/heap?debug=1",
    });
    expect((await get("/agent-url")).status).toBe(400);
    expect((await get("/agent-url?sandbox=..")).status).toBe(404);
    expect((await get("/debug/secret?sandbox=one")).status).toBe(404);
    expect((await get("/metrics", { method: "POST" })).status).toBe(405);
  });
});
