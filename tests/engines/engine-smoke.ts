/**
 * What an engine's user does in the first hour, told once for Podman and Docker: their command lines are the same.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { CommandOptions, CommandResult } from "../harness/command.ts";
import type { EngineHost } from "../harness/engine-host.ts";
import { startInTerminal } from "../harness/terminal.ts";

export interface Engine {
  readonly host: EngineHost;
  /** `podman` or `docker`. */
  readonly command: string;
  /** Before the command's own words. */
  readonly flags: readonly string[];
  /** Behind `run`: what chooses the runtime. */
  readonly runFlags: readonly string[];
  readonly image: string;
  /** Whether containers on a network of the user's find each other by name. */
  readonly names: boolean;
  /** Whether a container can join another one's network, and with it its machine. */
  readonly joins: boolean;
}

/** Ends with 0 when it is told to, and serves a page until then. */
const SERVER =
  'echo started; mkdir -p /www; echo page > /www/index.html; httpd -p 80 -h /www; trap "echo stopping; exit 0" TERM; while :; do sleep 0.2; done';

export class EngineClient {
  readonly engine: Engine;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  call(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { host, command, flags } = this.engine;
    return host.run(command, [...flags, ...args], options);
  }

  async must(...args: readonly string[]): Promise<string> {
    const { host, command, flags } = this.engine;
    return await host.must(command, [...flags, ...args]);
  }

  run(flags: readonly string[], script: string, options: CommandOptions = {}): Promise<CommandResult> {
    const { runFlags, image } = this.engine;
    return this.call(["run", ...runFlags, ...flags, image, "sh", "-c", script], options);
  }

  async detach(name: string, flags: readonly string[], script: string): Promise<void> {
    const { runFlags, image } = this.engine;
    await this.must("run", "--detach", "--name", name, ...runFlags, ...flags, image, "sh", "-c", script);
  }

  async inTerminal(
    args: readonly string[],
    typed: string,
  ): Promise<{ readonly status: number; readonly shown: string }> {
    const { host, command, flags } = this.engine;
    const words = host.words(command, [...flags, ...args]);
    await using terminal = await startInTerminal(words, { rows: 33, columns: 77 }, host.environment);
    await terminal.live.until("the container has its terminal", (text) => text.includes("33 77"), 120_000);
    terminal.live.write(typed);
    const { status, stdout } = await terminal.live.exited();
    return { status, shown: stdout.replaceAll("\r", "") };
  }
}

/** A container to its end: output, exit status, a kernel of its own, input. */
export async function runsToTheEnd(client: EngineClient): Promise<void> {
  const hostKernel = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
  const result = await client.run(["--rm", "--interactive"], "cat; uname -r; echo complaint >&2; exit 3", {
    stdin: "typed\n",
  });
  expect(result).toMatchObject({ status: 3, stderr: expect.stringContaining("complaint\n") });
  expect(result.stdout).toMatch(/^typed\n\S+\n$/);
  expect(result.stdout).not.toContain(hostKernel);
}

/** A terminal of the user's size, in `run` and in `exec`. */
export async function hasTerminals(client: EngineClient): Promise<void> {
  const { runFlags, image } = client.engine;
  const script =
    'until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; stty size; read line; echo "got $line"; exit 6';
  const words = ["-it", image, "sh", "-c", script];
  expect(await client.inTerminal(["run", "--rm", ...runFlags, ...words], "something\n")).toEqual({
    status: 6,
    shown: "33 77\nsomething\ngot something\n",
  });
}

/** A server: volume, published port, limits, exec, logs, copies, stop, start, rm. */
export async function servesAndStops(client: EngineClient): Promise<void> {
  const { host } = client.engine;
  const data = join(host.directory, "data");
  mkdirSync(data);
  writeFileSync(join(data, "host"), "of the host\n");
  await client.detach(
    "web",
    ["--volume", `${data}:/data`, "--publish", "18080:80", "--memory", "100m", "--cpus", "0.5"],
    SERVER,
  );

  const limits =
    "cat /data/host; echo guest > /data/guest; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max; exit 4";
  expect(await client.call(["exec", "web", "sh", "-c", limits])).toMatchObject({
    status: 4,
    stdout: "of the host\n104857600\n50000 100000\n",
  });
  expect(readFileSync(join(data, "guest"), "utf8")).toBe("guest\n");
  expect(await client.call(["exec", "--interactive", "web", "cat"], { stdin: "through\n" })).toMatchObject({
    status: 0,
    stdout: "through\n",
  });
  const missing = await client.call(["exec", "web", "no-such-program"]);
  // Docker tells it on either stream, by its release.
  expect(missing.stdout + missing.stderr).toMatch(/not found/);
  expect([126, 127]).toContain(missing.status);
  const script =
    'until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; stty size; read line; echo "got $line"; exit 5';
  expect(await client.inTerminal(["exec", "-it", "web", "sh", "-c", script], "more\n")).toEqual({
    status: 5,
    shown: "33 77\nmore\ngot more\n",
  });

  const address = (await client.must("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web")).trim();
  expect(await host.page(address, 80)).toBe("page\n");
  expect(await host.page("127.0.0.1", 18080)).toBe("page\n");

  await client.must("cp", join(data, "host"), "web:/tmp/copied");
  expect(await client.must("exec", "web", "cat", "/tmp/copied")).toBe("of the host\n");
  await client.must("exec", "web", "sh", "-c", "echo from the guest > /tmp/out");
  await client.must("cp", "web:/tmp/out", join(data, "out"));
  expect(readFileSync(join(data, "out"), "utf8")).toBe("from the guest\n");

  await client.must("pause", "web");
  expect(await client.must("inspect", "--format", "{{.State.Status}}", "web")).toBe("paused\n");
  await client.must("unpause", "web");
  await client.must("update", "--memory", "120m", "--memory-swap", "240m", "web");
  expect(await client.must("exec", "web", "cat", "/sys/fs/cgroup/memory.max")).toBe(`${120 << 20}\n`);
  expect(await client.must("stats", "--no-stream", "web")).toMatch(/web/);

  await client.must("stop", "web");
  expect(await client.must("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "web")).toBe(
    "exited 0\n",
  );
  expect((await client.call(["logs", "web"])).stdout).toBe("started\nstopping\n");
  await client.must("start", "web");
  expect(await client.must("exec", "web", "cat", "/tmp/copied")).toBe("of the host\n");
  await client.must("kill", "--signal", "KILL", "web");
  expect((await client.must("wait", "web")).trim()).toBe("137");
  await client.must("rm", "web");
  expect(await client.must("ps", "--all", "--quiet")).toBe("");
}

/** A network of the user's: containers reach each other on it, and one joins the other's. */
export async function sharesNetworks(client: EngineClient): Promise<void> {
  await client.must("network", "create", "mine");
  await client.detach("server", ["--network", "mine"], SERVER);
  const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
  const address = (await client.must("inspect", "--format", format, "server")).trim();
  const fetch = (host: string) =>
    `for i in $(seq 50); do timeout 5 wget -q -O- http://${host}/ && exit 0; sleep 0.2; done 2>/dev/null; exit 9`;
  const where = client.engine.names ? "server" : address;
  expect(await client.run(["--rm", "--network", "mine"], fetch(where))).toMatchObject({
    status: 0,
    stdout: "page\n",
  });
  if (client.engine.joins) {
    expect(await client.run(["--rm", "--network", "container:server"], fetch("127.0.0.1"))).toMatchObject({
      status: 0,
      stdout: "page\n",
    });
  }
  await client.must("rm", "--force", "server");
  await client.must("network", "rm", "mine");
}
