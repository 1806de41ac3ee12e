/** The shim as containerd starts it, without containerd. Source: containerd runtime v2 shim contract. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { encodeAny } from "../../build/generated/any.ts";
import { decodeBootstrapResult, encodeBootstrapParams } from "../../build/generated/bootstrap.ts";
import { decodeRuntimeInfo } from "../../build/generated/introspection.ts";
import { decodeDeleteResponse } from "../../build/generated/task-v2.ts";
import { type CommandResult, startCommand } from "../harness/command.ts";
import { BUILT_PROGRAMS } from "../harness/kata-configuration.ts";
import { readProcess } from "../harness/processes.ts";
import { test, type Workbench } from "../harness/workbench.ts";

const SHIM = join(BUILT_PROGRAMS, "containerd-shim-kata-v2");

interface BinaryResult extends CommandResult {
  /** What it wrote to stdout. */
  readonly bytes: Uint8Array;
}

async function runShim(
  args: readonly string[],
  stdin: Uint8Array = new Uint8Array(0),
  cwd?: string,
): Promise<BinaryResult> {
  await using live = startCommand(SHIM, args, cwd === undefined ? {} : { cwd });
  live.end(stdin);
  const result = await live.exited();
  return { ...result, bytes: new Uint8Array(live.stdoutBytes) };
}

/** A bundle, and the shim's commands for it. */
class Bundle {
  readonly id: string;
  readonly directory: string;
  readonly #namespace: string;

  constructor(bench: Workbench, annotations: Readonly<Record<string, string>> = {}, hooks: object = {}) {
    this.id = bench.newId();
    this.#namespace = bench.ctr.instance.tag;
    this.directory = join(bench.scratch, this.id);
    mkdirSync(this.directory);
    const process = { cwd: "/", args: ["true"], user: { uid: 0, gid: 0 } };
    const spec = { ociVersion: "1.0.2", process, root: { path: "rootfs" }, annotations, hooks };
    writeFileSync(join(this.directory, "config.json"), JSON.stringify(spec));
  }

  /** Arguments come in Go's form, with the action at the end. */
  call(action: "start" | "delete", stdin: Uint8Array = new Uint8Array(0)): Promise<BinaryResult> {
    const flags = ["-namespace", this.#namespace, "-address", "/no/containerd.sock"];
    const args = [...flags, "-publish-binary", "/bin/true", "-id", this.id, action];
    return runShim(args, stdin, this.directory);
  }

  read(name: string): string {
    return readFileSync(join(this.directory, name), "utf8");
  }

  get shimPid(): number {
    return Number(this.read("shim.pid"));
  }

  parameters(socketDir: string): Uint8Array {
    const containerd = { containerdVersion: "2.3.0", containerdTtrpcAddress: "/no/containerd.sock.ttrpc" };
    return encodeBootstrapParams({
      instanceId: this.id,
      namespace: this.#namespace,
      socketDir,
      ...containerd,
    });
  }
}

describe("start", () => {
  for (const [what, stdin] of [
    ["no options", new Uint8Array(0)],
    ["the options that containerd up to 2.2 writes", encodeAny({ typeUrl: "runtimeoptions.v1.Options" })],
  ] as const) {
    test(`with ${what} prints the address and nothing else, and leaves a shim`, async ({ bench }) => {
      const bundle = new Bundle(bench);
      const result = await bundle.call("start", stdin);
      expect(result).toMatchObject({ status: 0, stderr: "" });
      expect(result.stdout).toMatch(/^unix:\/\/\/run\/containerd\/s\/[0-9a-f]{64}$/);
      expect(bundle.read("address")).toBe(result.stdout);
      expect(readProcess(bundle.shimPid)?.argv).toContain(bundle.id);
      expect((await bundle.call("delete")).status).toBe(0);
    });
  }

  test("with the parameters that containerd from 2.3 on writes answers with a message", async ({ bench }) => {
    const bundle = new Bundle(bench);
    const result = await bundle.call("start", bundle.parameters(join(bench.scratch, "s")));
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const address = bundle.read("address");
    expect(address).toMatch(/^unix:\/\/.*\/s\/[0-9a-f]{64}$/);
    expect(address.startsWith(`unix://${bench.scratch}/s/`)).toBe(true);
    expect(decodeBootstrapResult(result.bytes)).toMatchObject({ version: 3, address, protocol: "ttrpc" });
    expect((await bundle.call("delete")).status).toBe(0);
    expect(existsSync(address.slice("unix://".length))).toBe(false);
  });

  test("of a container whose shim runs is refused in one line", async ({ bench }) => {
    const bundle = new Bundle(bench);
    await bundle.call("start");
    const again = await bundle.call("start");
    expect(again).toMatchObject({ status: 1, stdout: "" });
    expect(again.stderr).toMatch(/^start shim: \/run\/containerd\/s\/[0-9a-f]{64} \(.*\)$/);
    expect((await bundle.call("delete")).status).toBe(0);
  });

  test("takes the place of a shim that was killed", async ({ bench }) => {
    const bundle = new Bundle(bench);
    const { stdout } = await bundle.call("start");
    process.kill(bundle.shimPid, "SIGKILL");
    await expect.poll(() => readProcess(bundle.shimPid)?.state ?? "Z").toBe("Z");
    expect(await bundle.call("start")).toMatchObject({ status: 0, stdout });
    expect((await bundle.call("delete")).status).toBe(0);
  });

  test("of a pod's member without the pod is refused in one line", async ({ bench }) => {
    const prefix = "io.kubernetes.cri";
    const bundle = new Bundle(bench, {
      [`${prefix}.container-type`]: "container",
      [`${prefix}.sandbox-id`]: "no-such-pod",
    });
    const result = await bundle.call("start");
    expect(result).toMatchObject({ status: 1, stdout: "" });
    expect(result.stderr).toMatch(/^find shim of the pod: sandbox no-such-pod \(.*\)$/);
  });
});

describe("delete", () => {
  test("ends a shim that nobody uses and tells how the container ended", async ({ bench }) => {
    const bundle = new Bundle(bench);
    await bundle.call("start");
    const { shimPid } = bundle;
    const started = performance.now();
    const result = await bundle.call("delete");
    expect(performance.now() - started).toBeLessThan(2000);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const { exitStatus, exitedAt } = decodeDeleteResponse(result.bytes);
    expect(exitStatus).toBe(137);
    expect(Math.abs(Number(exitedAt?.seconds) - Date.now() / 1000)).toBeLessThan(10);
    expect(readProcess(shimPid)?.state ?? "Z").toBe("Z");
  });

  test("runs the hooks that a killed shim still owed, once, and tells of those that fail", async ({
    bench,
  }) => {
    const notes = join(bench.scratch, "notes");
    const note = { path: "/bin/sh", args: ["sh", "-c", `cat >> ${notes}; echo >> ${notes}`] };
    const hooks = { poststop: [{ path: "/bin/false" }, note] };
    const bundle = new Bundle(bench, {}, hooks);
    // Of a container whose other hooks have run.
    writeFileSync(join(bundle.directory, "kata-hooks"), "");
    const { status, stderr } = await bundle.call("delete");
    expect(status).toBe(0);
    expect(stderr).toMatch(/^a hook failed .*\/bin\/false: it ended with status 1.*\n$/);
    expect(await bundle.call("delete")).toMatchObject({ status: 0, stderr: "" });
    const states = readFileSync(notes, "utf8").trim().split("\n");
    expect(states.map((state) => JSON.parse(state))).toEqual([
      { ociVersion: "1.0.2", id: bundle.id, status: "stopped", bundle: bundle.directory, annotations: {} },
    ]);
  });

  test("again, or of what never was, is no error", async ({ bench }) => {
    const bundle = new Bundle(bench);
    expect(await bundle.call("delete")).toMatchObject({ status: 0, stderr: "" });
    rmSync(join(bundle.directory, "config.json"));
    expect(await bundle.call("delete")).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("what the shim says of itself", () => {
  test("-v is a line for people", async () => {
    expect(await runShim(["-v"])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^containerd-shim-kata-v2 version \d+\.\d+\.\d+\S*\n$/),
      stderr: "",
    });
  });

  test("-info is a message, with the options that it was given", async () => {
    const options = { typeUrl: "runtimeoptions.v1.Options", value: Uint8Array.of(18, 1, 47) };
    const result = await runShim(["-info"], encodeAny(options));
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(decodeRuntimeInfo(result.bytes)).toMatchObject({
      name: "io.containerd.kata.v2",
      version: { version: expect.stringMatching(/^\d+\.\d+/) },
      options,
      features: { typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/features/Features" },
    });
    const features = decodeRuntimeInfo(result.bytes).features?.value ?? new Uint8Array();
    expect(JSON.parse(Buffer.from(features).toString())).toMatchObject({
      mountOptions: expect.arrayContaining(["rbind", "ro", "rro"]),
      linux: {
        namespaces: expect.arrayContaining(["pid", "user"]),
        mountExtensions: { idmap: { enabled: false } },
      },
    });
  });

  test("an unknown flag is refused in one line", async () => {
    const result = await runShim(["-nonsense"]);
    expect(result).toMatchObject({ status: 1, stdout: "" });
    expect(result.stderr).toBe("read command line: -nonsense (no such flag)");
  });
});
