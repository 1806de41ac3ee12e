import { describe, expect, test } from "vitest";
import { decodeMetrics } from "../../../build/generated/cgroups-v1.ts";
import { encodePodSandboxConfig } from "../../../build/generated/cri.ts";
import { KataError } from "../../kata-error.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { FakeSandbox } from "../testing/fake-sandbox.ts";
import { CALL, NOW_MS, podAnnotations, ShimBench } from "../testing/shim-bench.ts";

const NOW = { seconds: BigInt(Math.floor(NOW_MS / 1000)), nanos: 250_000_000 };
const POD = { sandboxId: "p" };
const refusedWith = (code: string) => expect.objectContaining({ code });

function creation(config: Parameters<typeof encodePodSandboxConfig>[0] = { hostname: "web" }) {
  const options = { typeUrl: "runtime.v1.PodSandboxConfig", value: encodePodSandboxConfig(config) };
  const annotations = new Map<string, string>();
  return { ...POD, bundlePath: "/bundles/p", rootfs: [], options, netnsPath: "/run/netns/p", annotations };
}

async function startPod(): Promise<ShimBench> {
  const shim = new ShimBench();
  await shim.sandboxApi.createSandbox(creation(), CALL);
  await shim.sandboxApi.startSandbox(POD, CALL);
  return shim;
}

describe("a sandbox that containerd brings up itself", () => {
  test("is asked about, joined by containers, and ended", async () => {
    const shim = new ShimBench();
    const api = shim.sandboxApi;
    expect(await api.createSandbox(creation(), CALL)).toEqual({});
    expect(await api.sandboxStatus({ ...POD, verbose: false }, CALL)).toEqual({
      ...POD,
      pid: 0,
      state: "SANDBOX_NOTREADY",
    });
    expect(await api.startSandbox(POD, CALL)).toEqual({ pid: 4711, createdAt: NOW });
    expect(await api.platform(POD, CALL)).toEqual({ platform: { os: "linux", architecture: "amd64" } });
    expect(await api.pingSandbox(POD, CALL)).toEqual({});
    expect(shim.requests).toMatchObject([
      {
        id: "p",
        bundle: "/bundles/p",
        spec: {
          hostname: "web",
          mounts: [{ destination: "/etc/resolv.conf", source: "/bundles/p/etc/resolv.conf" }],
        },
      },
    ]);
    const waiting = api.waitSandbox(POD, CALL);

    await shim.run("c", podAnnotations("container", "p"));
    expect(await api.sandboxStatus({ ...POD, verbose: true }, CALL)).toEqual({
      ...POD,
      pid: 4711,
      state: "SANDBOX_READY",
      info: new Map([
        ["info", JSON.stringify({ hypervisorPid: 4711, containers: [{ id: "c", state: "running" }] })],
      ]),
      createdAt: NOW,
    });
    expect(await api.stopSandbox({ ...POD, timeoutSecs: 0 }, CALL)).toEqual({});
    expect(await waiting).toEqual({ exitStatus: 0, exitedAt: NOW });
    expect(await api.sandboxStatus({ ...POD, verbose: false }, CALL)).toEqual({
      ...POD,
      pid: 0,
      state: "SANDBOX_NOTREADY",
      createdAt: NOW,
      exitedAt: NOW,
    });
    // Deleted after its sandbox, as containerd may: what it had is given back already.
    expect(await shim.task.delete({ id: "c", execId: "" }, CALL)).toMatchObject({ exitStatus: 137 });
    expect(shim.sandbox.asked).toEqual(["create c", "start c", "signal c/ 9 all", "stop"]);
    expect(shim.topics).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    expect(await api.shutdownSandbox(POD, CALL)).toEqual({});
    await shim.pod.ended;
    expect(shim.claims).toEqual(new Set());
  });

  test("outlives its last container, and the Shutdown of a container's task", async () => {
    const shim = await startPod();
    await shim.run("c");
    shim.sandbox.exit("c", 0);
    await shim.task.wait({ id: "c", execId: "" }, CALL);
    await shim.task.delete({ id: "c", execId: "" }, CALL);
    await shim.task.shutdown({ id: "c", now: false }, CALL);
    expect(shim.sandbox.asked).not.toContain("stop");
    await shim.run("d");
    expect(await shim.task.state({ id: "d", execId: "" }, CALL)).toMatchObject({ status: 2, pid: 4711 });
  });

  test("ends with 255 when its machine is lost", async () => {
    const shim = await startPod();
    await shim.run("c");
    const waiting = shim.sandboxApi.waitSandbox(POD, CALL);
    shim.sandbox.die();
    expect(await waiting).toEqual({ exitStatus: 255, exitedAt: NOW });
    expect(await shim.task.wait({ id: "c", execId: "" }, CALL)).toMatchObject({ exitStatus: 255 });
    await expect(shim.sandboxApi.pingSandbox(POD, CALL)).rejects.toEqual(refusedWith("unavailable"));
    expect(await shim.sandboxApi.stopSandbox({ ...POD, timeoutSecs: 1 }, CALL)).toEqual({});
  });

  test("can be tried again after a failed start", async () => {
    const shim = new ShimBench();
    await shim.sandboxApi.createSandbox(creation(), CALL);
    shim.boot = async () => {
      throw new KataError("boot-failed", { operation: "boot guest", object: "no kernel" });
    };
    await expect(shim.sandboxApi.startSandbox(POD, CALL)).rejects.toEqual(refusedWith("boot-failed"));
    expect(shim.claims).toEqual(new Set());
    shim.boot = async ({ id }) => new FakeSandbox(id);
    expect(await shim.sandboxApi.startSandbox(POD, CALL)).toMatchObject({ pid: 4711 });
  });

  test.each([
    ["the caller", (_shim: ShimBench, caller: CancelSource) => caller.cancel()],
    ["Shutdown", (shim: ShimBench) => void shim.sandboxApi.shutdownSandbox(POD, CALL)],
    ["Stop", (shim: ShimBench) => void shim.sandboxApi.stopSandbox({ ...POD, timeoutSecs: 0 }, CALL)],
  ])("is given up by %s while it boots", async (_who, giveUp) => {
    const shim = new ShimBench();
    await shim.sandboxApi.createSandbox(creation(), CALL);
    shim.boot = ({ signal }) =>
      new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const caller = new CancelSource();
    const starting = shim.sandboxApi.startSandbox(POD, { ...CALL, signal: caller.signal });
    giveUp(shim, caller);
    await expect(starting).rejects.toEqual(refusedWith("cancelled"));
    expect(shim.claims).toEqual(new Set());
  });

  test("counts what its containers use together", async () => {
    const shim = await startPod();
    await shim.run("c");
    await shim.run("d");
    const { metrics } = await shim.sandboxApi.sandboxMetrics(POD, CALL);
    expect(metrics).toMatchObject({ id: "p", timestamp: NOW });
    expect(metrics?.data?.typeUrl).toBe("io.containerd.cgroups.v1.Metrics");
    expect(decodeMetrics(metrics?.data?.value ?? new Uint8Array(0))).toMatchObject({
      cpu: { usage: { total: 2n, user: 2n } },
      memory: { usage: { usage: 8192n, max: 16384n } },
      pids: { current: 2n },
    });
  });

  test.each<[what: string, code: string, act: (shim: ShimBench) => Promise<unknown>]>([
    ["a second sandbox", "already-exists", (shim) => shim.sandboxApi.createSandbox(creation(), CALL)],
    ["a second start", "failed-precondition", (shim) => shim.sandboxApi.startSandbox(POD, CALL)],
    [
      "the status of another",
      "not-found",
      (shim) => shim.sandboxApi.sandboxStatus({ sandboxId: "x", verbose: false }, CALL),
    ],
    ["to wait for another", "not-found", (shim) => shim.sandboxApi.waitSandbox({ sandboxId: "x" }, CALL)],
    [
      "a container of another pod",
      "failed-precondition",
      (shim) => shim.create("c", podAnnotations("container", "x")),
    ],
  ])("%s is refused as %s", async (_what, code, act) => {
    const shim = await startPod();
    await expect(act(shim)).rejects.toEqual(refusedWith(code));
  });

  test("is refused by a shim that has containers", async () => {
    const shim = new ShimBench();
    await shim.run("c");
    await expect(shim.sandboxApi.createSandbox(creation(), CALL)).rejects.toEqual(
      refusedWith("already-exists"),
    );
  });

  test("takes no container before it is started", async () => {
    const shim = new ShimBench();
    await shim.sandboxApi.createSandbox(creation(), CALL);
    await expect(shim.create("c")).rejects.toEqual(refusedWith("failed-precondition"));
  });
});
