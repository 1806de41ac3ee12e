import { join } from "node:path";
import { describe, expect } from "vitest";
import { runCommand } from "../harness/command.ts";
import { startContainerdOfSuite } from "../harness/containerd-of-suite.ts";
import { POD_ADDRESS } from "../harness/cri.ts";
import { processesOf } from "../harness/instance-processes.ts";
import { BUILT_PROGRAMS } from "../harness/kata-configuration.ts";
import { startKataMonitor } from "../harness/kata-monitor.ts";
import { containerdVersion, Kubelet, test } from "../harness/kubelet.ts";
import { killProcess } from "../harness/processes.ts";
import { Workbench } from "../harness/workbench.ts";

const IDLE = "while :; do sleep 1; done";
const BOOT_ID = "cat /proc/sys/kernel/random/boot_id";

const isVersion1 = () => containerdVersion().startsWith("1.");
const has = (handler: "paused" | "sandboxed") =>
  handler === "paused" || !containerdVersion().startsWith("1.6.");

function running(kubelet: Kubelet, program: RegExp): number {
  return processesOf(kubelet.bench.ctr.instance.tag).filter(({ name }) => program.test(name)).length;
}

describe.each(["paused", "sandboxed"] as const)("a pod, %s", (handler) => {
  describe.skipIf(!has(handler))("where containerd knows how", () => {
    test("runs its containers in one machine, and restarts one of them", async ({ kubelet }) => {
      const { cri } = kubelet;
      const pod = await kubelet.runPod(handler, {
        dnsConfig: { servers: ["10.0.0.53"], searches: ["shop.local"], options: ["ndots:2"] },
        linux: { sysctls: new Map([["net.core.somaxconn", "77"]]) },
      });
      const status = await cri.calls.podSandboxStatus({ podSandboxId: pod.id, verbose: true });
      expect(status.status).toMatchObject({ id: pod.id, state: 0, network: { ip: POD_ADDRESS } });

      const first = await kubelet.runContainer(pod, `echo out; echo err >&2; ${IDLE}`, "first");
      const second = await kubelet.runContainer(pod, "cat /data/none; exit 9", "second");
      expect(await kubelet.exitOf(second)).toBe(9);
      expect(kubelet.logOf(pod, "first", "stdout")).toEqual(["out"]);
      expect(kubelet.logOf(pod, "first", "stderr")).toEqual(["err"]);
      expect(running(kubelet, /^containerd-shim/)).toBe(1);
      expect(running(kubelet, /^qemu-system/)).toBe(1);

      // As a kubelet does: the next attempt beside the ended one, which goes afterwards.
      const again = await kubelet.runContainer(pod, IDLE, "second", 1);
      await cri.calls.removeContainer({ containerId: second });
      const boots = await Promise.all([first, again].map((id) => cri.exec(id, BOOT_ID)));
      expect(boots[0]?.stdout).toBe(boots[1]?.stdout);
      expect(
        await cri.exec(
          again,
          "hostname; cat /etc/resolv.conf /proc/sys/net/core/somaxconn; ps | grep -c '[e]cho out'",
        ),
      ).toEqual({
        stdout: `pod-host\nsearch shop.local\nnameserver 10.0.0.53\noptions ndots:2\n77\n1\n`,
        stderr: "",
        status: 0,
      });
      expect((await cri.exec(again, "ip -4 address show eth0")).stdout).toContain(POD_ADDRESS);

      await cri.calls.stopContainer({ containerId: first, timeout: 0n });
      expect(await kubelet.exitOf(first)).toBe(137);
      expect(await cri.exec(again, "exit 3")).toMatchObject({ status: 3 });
      await kubelet.removePod(pod);
      await kubelet.bench.expectClean();
    });

    test("is known by its names in Kubernetes to kata-runtime and kata-monitor", async ({ kubelet }) => {
      const pod = await kubelet.runPod(handler);
      await kubelet.runContainer(pod, IDLE, "first");
      const { status } = await kubelet.cri.calls.podSandboxStatus({ podSandboxId: pod.id, verbose: false });
      const { name = "", namespace = "", uid = "" } = status?.metadata ?? {};
      expect(name).not.toBe("");
      const listed = await runCommand(join(BUILT_PROGRAMS, "kata-runtime"), ["ps", "--json"]);
      expect(listed).toMatchObject({ status: 0, stderr: "" });
      const shown = (JSON.parse(listed.stdout) as { id: string }[]).find(({ id }) => id === pod.id);
      expect(shown).toMatchObject({ name, namespace, state: "running" });
      await using monitor = await startKataMonitor(kubelet.bench.ctr.instance.socket);
      expect((await monitor.get(`/metrics?sandbox=${pod.id}`)).body).toContain(
        `kata_shim_threads{sandbox_id="${pod.id}",cri_uid="${uid}",cri_name="${name}",cri_namespace="${namespace}"} 1`,
      );
    });

    test("is found again by a restarted containerd", async () => {
      await using instance = await startContainerdOfSuite();
      await using bench = await Workbench.on(instance.containerd.address, instance.image);
      await using kubelet = new Kubelet(bench);
      const pod = await kubelet.runPod(handler);
      const id = await kubelet.runContainer(pod, IDLE);
      const before = await kubelet.cri.exec(id, BOOT_ID);
      await instance.containerd.restart();
      await kubelet.reconnect(pod);
      expect(await kubelet.cri.exec(id, BOOT_ID)).toEqual(before);
      const next = await kubelet.runContainer(pod, "exit 4");
      expect(await kubelet.exitOf(next)).toBe(4);
    });

    test("whose shim is killed is told as ended, and leaves nothing", async ({ kubelet }) => {
      const pod = await kubelet.runPod(handler);
      const id = await kubelet.runContainer(pod, IDLE);
      const shim = processesOf(kubelet.bench.ctr.instance.tag).find(({ name }) =>
        name.startsWith("containerd-shim"),
      );
      if (shim === undefined) throw new Error("the pod has no shim");
      killProcess(shim, "SIGKILL");
      await expect
        .poll(
          async () => {
            const { status } = await kubelet.cri.calls.podSandboxStatus({
              podSandboxId: pod.id,
              verbose: false,
            });
            return status?.state;
          },
          { timeout: 20_000 },
        )
        .toBe(1);
      await kubelet.cri.calls.stopContainer({ containerId: id, timeout: 0n });
      await kubelet.removePod(pod);
      await kubelet.bench.expectClean();
    });
  });
});

describe.skipIf(isVersion1())("a container whose output goes over streams", () => {
  test("goes on with a restarted containerd, which connects anew", async () => {
    await using instance = await startContainerdOfSuite();
    await using bench = await Workbench.on(instance.containerd.address, instance.image);
    await using kubelet = new Kubelet(bench);
    const pod = await kubelet.runPod("streamed");
    const zeros = "0".repeat(100);
    const many = `seq 0 2999 | sed 's/^/line-/; s/$/-${zeros}/'`;
    const script = `${many}; echo err >&2; until [ -e /tmp/go ]; do sleep 0.1; done; echo last; exit 8`;
    const id = await kubelet.runContainer(pod, script, "c");
    expect(await kubelet.cri.exec(id, "echo out; echo err >&2; exit 3")).toEqual({
      stdout: "out\n",
      stderr: "err\n",
      status: 3,
    });
    // What containerd has taken and not yet written goes with it, over streams as over FIFOs.
    await expect.poll(() => kubelet.logOf(pod, "c", "stdout").length, { timeout: 60_000 }).toBe(3000);
    await expect.poll(() => kubelet.logOf(pod, "c", "stderr"), { timeout: 20_000 }).toEqual(["err"]);
    await instance.containerd.restart();
    await kubelet.reconnect(pod);
    expect(await kubelet.cri.exec(id, "touch /tmp/go")).toMatchObject({ status: 0 });
    expect(await kubelet.exitOf(id)).toBe(8);
    await expect.poll(() => kubelet.logOf(pod, "c", "stdout").at(-1), { timeout: 20_000 }).toBe("last");
    const lines = kubelet.logOf(pod, "c", "stdout");
    expect(lines).toEqual([...Array.from({ length: 3000 }, (_, i) => `line-${i}-${zeros}`), "last"]);
  });
});

describe.skipIf(isVersion1())("ctr run --sandbox", () => {
  test("puts a container into a pod, which outlives it", async ({ kubelet }) => {
    const pod = await kubelet.runPod("sandboxed");
    const member = await kubelet.runContainer(pod, IDLE);
    const { stdout: boot } = await kubelet.cri.exec(member, BOOT_ID);
    const { bench, ctr } = kubelet;
    const request = bench.request(["sh", "-c", `${BOOT_ID}; exit 6`], ["--sandbox", pod.id]);
    expect(await ctr.runContainer(request)).toMatchObject({ status: 6, stdout: boot, stderr: "" });
    expect(await kubelet.cri.exec(member, "exit 5")).toMatchObject({ status: 5 });
  });
});
