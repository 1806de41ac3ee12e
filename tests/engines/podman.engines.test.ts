/** Podman of Debian 12 with `kata-runtime` as its OCI runtime. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EngineHost } from "../harness/engine-host.ts";
import { podmanPackages } from "../harness/engine-packages.ts";
import { busyboxImage } from "../harness/images.ts";
import { BUILT_PROGRAMS } from "../harness/kata-configuration.ts";
import { EngineClient, hasTerminals, runsToTheEnd, servesAndStops, sharesNetworks } from "./engine-smoke.ts";

const SET_UP_MS = 300_000;

let host: EngineHost;
let client: EngineClient;

beforeAll(async () => {
  const packages = await podmanPackages();
  host = await EngineHost.start(packages, (directory) => ({
    "containers/containers.conf": `
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "kata"
static_dir = "${directory}/static"
volume_path = "${directory}/volumes"
tmp_dir = "/run/libpod"
[engine.runtimes]
kata = ["${BUILT_PROGRAMS}/kata-runtime"]
[network]
network_backend = "netavark"
network_config_dir = "${directory}/networks"
`,
    "containers/storage.conf": `
[storage]
driver = "overlay"
graphroot = "${directory}/storage"
runroot = "/run/containers/storage"
`,
  }));
  const { name, archive } = await busyboxImage();
  client = new EngineClient({
    host,
    command: "podman",
    flags: [],
    runFlags: [],
    image: name,
    names: true,
    joins: true,
  });
  await client.must("load", "--input", archive);
}, SET_UP_MS);

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
}, SET_UP_MS);

describe("Podman", () => {
  test("runs a container to its end", async () => await runsToTheEnd(client));
  test("gives containers its user's terminal", async () => await hasTerminals(client));
  test("serves from a container, copies, limits, pauses, stops and starts it", async () =>
    await servesAndStops(client));
  test("connects containers by networks", async () => await sharesNetworks(client));

  test("puts the containers of a pod into one machine", async () => {
    await client.must("pod", "create", "--name", "pod", "--publish", "18081:80");
    const page = "mkdir /www; echo of the pod > /www/index.html; httpd -p 80 -h /www; sleep 1000";
    await client.detach("member", ["--pod", "pod"], page);
    const fetch =
      "for i in $(seq 50); do timeout 5 wget -q -O- http://127.0.0.1/ && exit 0; sleep 0.2; done; exit 9";
    expect(await client.run(["--rm", "--pod", "pod"], fetch)).toMatchObject({
      status: 0,
      stdout: "of the pod\n",
    });
    expect(await host.page("127.0.0.1", 18081)).toBe("of the pod\n");
    expect(host.leftBehind.filter((line) => line.includes("qemu-system-"))).toHaveLength(1);
    await client.must("pod", "stop", "--time", "2", "pod");
    await client.must("pod", "rm", "pod");
  });

  test("tells why a container cannot have the host's network", async () => {
    const { status, stderr } = await client.run(["--rm", "--network", "host"], "true");
    expect(status).toBe(126);
    expect(stderr).toMatch(/host's network was asked for .*start the container without host networking/);
  });

  test("leaves nothing behind", async () => {
    const runtime = join(BUILT_PROGRAMS, "kata-runtime");
    expect(await host.must(runtime, ["list", "--quiet"])).toBe("");
    await expect.poll(() => host.leftBehind.filter((line) => line !== ""), { timeout: 20_000 }).toEqual([]);
  });
});
