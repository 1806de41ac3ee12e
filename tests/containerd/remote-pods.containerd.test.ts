/** Pods of a kubelet whose machines a remote hypervisor makes: peer pods. */
import { describe, expect } from "vitest";
import { POD_ADDRESS } from "../harness/cri.ts";
import { test } from "../harness/kubelet.ts";
import { isRemote, remoteCalls } from "../harness/remote-hypervisor.ts";

const IDLE = "while :; do sleep 1; done";

describe.skipIf(!isRemote())("a pod on another host", () => {
  test("has containers whose images its guest pulls, its own network, and files of the kubelet's", async ({
    kubelet,
  }) => {
    const { cri } = kubelet;
    const pod = await kubelet.runPod("paused", {
      dnsConfig: { servers: ["10.0.0.53"], searches: ["shop.local"], options: [] },
    });
    const [create] = remoteCalls(pod.id);
    const namespace = create?.request.networkNamespacePath ?? "";
    expect(namespace).toMatch(/^\//);
    expect(create?.request.annotations).toMatchObject({
      "io.kubernetes.cri.sandbox-name": pod.config.metadata?.name,
      "io.kubernetes.cri.sandbox-namespace": "test",
    });
    const first = await kubelet.runContainer(pod, `echo out; ${IDLE}`, "first");
    const second = await kubelet.runContainer(pod, "exit 9", "second");
    expect(await kubelet.exitOf(second)).toBe(9);
    expect(kubelet.logOf(pod, "first", "stdout")).toEqual(["out"]);
    const seen = await cri.exec(first, "hostname; cat /etc/resolv.conf; ip -4 -o address show eth0");
    expect(seen.stdout).toContain("pod-host\nsearch shop.local\nnameserver 10.0.0.53\n");
    expect(seen.stdout).toContain(POD_ADDRESS);
    // What one container writes into its root, the other of the same image does not see.
    expect(await cri.exec(first, "echo mine > /new; cat /new")).toMatchObject({ stdout: "mine\n" });
    const third = await kubelet.runContainer(pod, "cat /new", "third");
    expect(await kubelet.exitOf(third)).toBe(1);
    await kubelet.removePod(pod);
    expect(remoteCalls(pod.id).map(({ call, outcome }) => `${call} ${outcome}`)).toEqual([
      "CreateVM ok",
      "StartVM ok",
      "StopVM ok",
    ]);
    await kubelet.bench.expectClean();
  });
});
