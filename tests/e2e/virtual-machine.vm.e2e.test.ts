import { release } from "node:os";
import { describe, expect } from "vitest";
import { processesOf } from "../harness/instance-processes.ts";
import { residentBytes } from "../harness/processes.ts";
import { test } from "../harness/workbench.ts";

const IDLE = "while :; do sleep 1; done";
const SHIM_RESIDENT_LIMIT_BYTES = 4 << 20;

describe("a container in its virtual machine", () => {
  test("runs on another kernel than the host's", async ({ bench }) => {
    const result = await bench.run("uname -r");
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout.trim()).toMatch(/^\d+\.\d+/);
    expect(result.stdout.trim()).not.toBe(release());
  });

  test("gets what a module of its kernel brings when it asks for it", async ({ bench }) => {
    // By its name and by another one; the container's iptables would ask in the same ways.
    const script = "brctl addbr bridge9 && ip link add veth9 type veth && ls /sys/class/net";
    const result = await bench.run(script, ["--cap-add", "CAP_NET_ADMIN"]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout.split("\n")).toEqual(expect.arrayContaining(["bridge9", "veth9"]));
  });

  test("is out of the host's sight: none of its processes is one of the host", async ({ bench }) => {
    const marker = "86400.125";
    await bench.detach(`sleep ${marker}`);
    const { tag } = bench.ctr.instance;
    const seen = processesOf(tag).filter(({ argv }) => argv[0] === "sleep" && argv[1] === marker);
    expect(seen).toEqual([]);
    expect(processesOf(tag).filter(({ name }) => name.startsWith("qemu-system"))).toHaveLength(1);
  });

  test("shares its kernel with no other", async ({ bench }) => {
    const ids = [await bench.detach(IDLE), await bench.detach(IDLE)];
    const boots = await Promise.all(ids.map((id) => bench.exec(id, "cat /proc/sys/kernel/random/boot_id")));
    for (const { stdout } of boots) expect(stdout).toMatch(/^[0-9a-f-]{36}\n$/);
    expect(boots[0]?.stdout).not.toBe(boots[1]?.stdout);
    const machines = processesOf(bench.ctr.instance.tag).filter(({ name }) => name.startsWith("qemu-system"));
    expect(machines).toHaveLength(2);
  });

  test("costs one shim of at most 4 MB resident memory", async ({ bench }) => {
    await bench.detach(IDLE);
    const shims = processesOf(bench.ctr.instance.tag).filter(({ name }) =>
      name.startsWith("containerd-shim"),
    );
    expect(shims).toHaveLength(1);
    const resident = residentBytes(shims[0]?.pid ?? 0);
    expect(resident).toBeGreaterThan(100 << 10);
    expect(resident).toBeLessThanOrEqual(SHIM_RESIDENT_LIMIT_BYTES);
  });
});
