/** Machines on another host: what their maker is asked for, and that none of them is ever forgotten. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { processesOf } from "../harness/instance-processes.ts";
import { NetworkNamespace } from "../harness/network-namespace.ts";
import { killProcess, listProcesses, type ProcessEntry } from "../harness/processes.ts";
import { isRemote, remoteCalls, remoteHypervisorProcess } from "../harness/remote-hypervisor.ts";
import { test } from "../harness/workbench.ts";

const IDLE = "while :; do sleep 1; done";
/** An agent whose machine is gone closes its connection; after a moment for other news, the sandbox ends. */
const NOTICED_MS = 20_000;

const HYPERVISOR = "io.katacontainers.config.hypervisor.";

/** The virtual machines behind the service. */
function machines(): ProcessEntry[] {
  const service = remoteHypervisorProcess();
  return listProcesses().filter(({ parent, name }) => parent === service.pid && name.startsWith("qemu"));
}

function outcomes(id: string): string[] {
  return remoteCalls(id).map(({ call, outcome }) => `${call} ${outcome}`);
}

const WHOLE_LIFE = ["CreateVM ok", "StartVM ok", "StopVM ok"];

describe.skipIf(!isRemote())("a container whose machine is made by a remote hypervisor", () => {
  test("has a machine of its limits' size, in its network, which is stopped once", async ({ bench }) => {
    await using network = await NetworkNamespace.create(bench.ctr.instance.tag);
    const id = bench.newId();
    const flags = [
      "--with-ns",
      `network:${network.path}`,
      "--memory-limit",
      String(128 << 20),
      "--cpus",
      "1.5",
    ];
    const result = await bench.ctr.runContainer({ ...bench.request(["true"], flags, id) });
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(outcomes(id)).toEqual(WHOLE_LIFE);
    const [create] = remoteCalls(id);
    expect(create?.request).toEqual({
      id,
      networkNamespacePath: network.path,
      annotations: {
        "io.kubernetes.cri.sandbox-name": id,
        "io.kubernetes.cri.sandbox-namespace": "default",
        [`${HYPERVISOR}machine_type`]: "",
        [`${HYPERVISOR}image`]: "",
        [`${HYPERVISOR}default_vcpus`]: "3",
        [`${HYPERVISOR}default_memory`]: "384",
        [`${HYPERVISOR}default_gpus`]: "0",
        [`${HYPERVISOR}default_gpu_model`]: "",
        [`${HYPERVISOR}cc_init_data`]: "",
      },
    });
    expect(machines()).toEqual([]);
  });

  test("ends when its machine does, and what is left of the machine is taken away", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const [machine, ...others] = machines();
    if (machine === undefined || others.length > 0) throw new Error(`${others.length + 1} machines`);
    killProcess(machine, "SIGKILL");
    await expect
      .poll(() => bench.ctr.taskState(id), { timeout: NOTICED_MS })
      .toMatchObject({
        state: "STOPPED",
      });
    await expect.poll(() => outcomes(id), { timeout: NOTICED_MS }).toEqual(WHOLE_LIFE);
  });

  test("has its machine stopped by who cleans up after a shim that was killed", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const shim = processesOf(bench.ctr.instance.tag).find(({ name }) => name.startsWith("containerd-shim"));
    if (shim === undefined) throw new Error("there is no shim");
    killProcess(shim, "SIGKILL");
    await expect.poll(() => outcomes(id), { timeout: NOTICED_MS }).toEqual(WHOLE_LIFE);
    expect(machines()).toEqual([]);
    // containerd leaves the container's FIFOs behind, as with every shim that dies.
    await bench.ctr.remove(id);
    const fifos = join(bench.ctr.instance.directory, "fifo");
    for (const name of readdirSync(fifos)) rmSync(join(fifos, name), { recursive: true });
  });

  test("names the container whose image no annotation names, and no machine stays", async ({ bench }) => {
    const id = bench.newId();
    // The last of two annotations counts.
    const flags = ["--annotation", "io.kubernetes.cri.image-name="];
    const { status, stderr } = await bench.ctr.runContainer(bench.request(["true"], flags, id));
    expect(status).not.toBe(0);
    expect(stderr).toContain("io.kubernetes.cri.image-name");
    expect(stderr).toContain(id);
    expect(outcomes(id)).toEqual(WHOLE_LIFE);
  });
});
