import { describe, expect } from "vitest";
import { mustRun } from "../harness/command.ts";
import { NetworkNamespace } from "../harness/network-namespace.ts";
import { test } from "../harness/workbench.ts";

describe("a container in a network namespace", () => {
  test("has the namespace's interface, address and route, and reaches the host through them", async ({
    bench,
  }) => {
    await using network = await NetworkNamespace.create(bench.ctr.instance.tag);
    const script = `ip -4 -o addr show eth0; ip route; cat /sys/class/net/eth0/mtu; ping -c 1 -W 20 ${network.hostAddress}`;
    const result = await bench.run(script, ["--with-ns", `network:${network.path}`]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toContain(`inet ${network.address}/24`);
    expect(result.stdout).toContain(`default via ${network.hostAddress} dev eth0`);
    expect(result.stdout).toContain(`\n${network.mtu}\n`);
    expect(result.stdout).toContain("1 packets received");
    // What the runtime added to the namespace for its own purposes is gone: the caller's interface is as it was.
    const links = JSON.parse(await mustRun("ip", ["-n", network.name, "-json", "link", "show"])) as {
      ifname: string;
    }[];
    expect(links.map(({ ifname }) => ifname)).toEqual(["lo", "eth0"]);
  });

  test("has only a loopback interface if the namespace is new", async ({ bench }) => {
    const result = await bench.run("ls /sys/class/net; ip -4 -o addr show lo");
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout.split("\n")[0]).toBe("lo");
  });
});
