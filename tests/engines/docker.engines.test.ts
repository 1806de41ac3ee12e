/**
 * Docker of three Debian releases: through `kata-runtime` as an OCI runtime, as old releases do it, and through the shim, as new ones do.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mustRun } from "../harness/command.ts";
import { EngineHost } from "../harness/engine-host.ts";
import { dockerPackages, type EngineSuite } from "../harness/engine-packages.ts";
import { writeBusyboxRoot } from "../harness/images.ts";
import { BUILT_PROGRAMS } from "../harness/kata-configuration.ts";
import { EngineClient, hasTerminals, runsToTheEnd, servesAndStops, sharesNetworks } from "./engine-smoke.ts";

const SET_UP_MS = 300_000;

interface Variant {
  readonly suite: EngineSuite;
  /** What `--runtime` names. */
  readonly runtime: string;
}

const VARIANTS: readonly Variant[] = [
  { suite: "bookworm", runtime: "kata" },
  { suite: "trixie", runtime: "io.containerd.kata.v2" },
  { suite: "sid", runtime: "io.containerd.kata.v2" },
];

const chosen = process.env.KATA_TEST_DOCKER_SUITE;

describe.each(VARIANTS.filter(({ suite }) => chosen === undefined || chosen === suite))(
  "Docker of $suite with $runtime",
  ({ suite, runtime }) => {
    let host: EngineHost;
    let client: EngineClient;

    beforeAll(async () => {
      const packages = await dockerPackages(suite);
      host = await EngineHost.start(packages, (directory) => ({
        "ke-docker.json": JSON.stringify({
          "data-root": `${directory}/docker`,
          "exec-root": "/run/docker",
          pidfile: "/run/docker.pid",
          hosts: [`unix://${directory}/d.sock`],
          "storage-driver": "overlay2",
          runtimes: { kata: { path: join(BUILT_PROGRAMS, "kata-runtime") } },
          ...(suite === "bookworm" ? {} : { features: { "containerd-snapshotter": false } }),
        }),
        "ke-containerd.toml": `
version = 2
root = "${directory}/containerd"
state = "/run/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
address = "${directory}/c.sock"
`,
      }));
      const { directory } = host;
      const env = { PATH: `${BUILT_PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin` };
      await host.startDaemon(
        "containerd",
        ["--config", "/etc/ke-containerd.toml"],
        `${directory}/c.sock`,
        env,
      );
      const flags = ["--config-file", "/etc/ke-docker.json", "--containerd", `${directory}/c.sock`];
      await host.startDaemon("dockerd", flags, `${directory}/d.sock`, env);
      const root = join(directory, "image");
      mkdirSync(root);
      await writeBusyboxRoot(root);
      client = new EngineClient({
        host,
        command: "docker",
        flags: ["--host", `unix://${directory}/d.sock`],
        runFlags: ["--runtime", runtime],
        image: "busybox",
        names: false,
        // The shim is told of pods by annotations, which Docker does not set.
        joins: runtime === "kata",
      });
      await mustRun("tar", ["-C", root, "-cf", `${directory}/image.tar`, "."]);
      await client.must("import", "--change", "ENV PATH=/bin", `${directory}/image.tar`, "busybox");
    }, SET_UP_MS);

    afterAll(async () => {
      await host?.[Symbol.asyncDispose]();
    }, SET_UP_MS);

    test("runs a container to its end", async () => await runsToTheEnd(client));
    test("gives containers its user's terminal", async () => await hasTerminals(client));
    test("serves from a container, copies, limits, pauses, stops and starts it", async () =>
      await servesAndStops(client));
    test("connects containers by networks", async () => await sharesNetworks(client));

    test("leaves nothing behind", async () => {
      const isOurs = (line: string) => /qemu-system|virtiofsd|containerd-shim|kata-runtime/.test(line);
      await expect.poll(() => host.leftBehind.filter(isOurs), { timeout: 20_000 }).toEqual([]);
    });
  },
);
