import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect } from "vitest";
import { processesOf } from "../harness/instance-processes.ts";
import { writeKataConfiguration } from "../harness/kata-configuration.ts";
import { test } from "../harness/workbench.ts";

const IDLE = "while :; do sleep 1; done";

/** A field of /proc/PID/status. */
function statusField(pid: number, name: string): string {
  return (
    new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? ""
  );
}

// Only QEMU takes all of the host as descriptors.
describe.skipIf(!(process.env.KATA_TEST_HYPERVISOR ?? "qemu").startsWith("qemu"))(
  "a rootless monitor",
  () => {
    const monitorsOf = (tag: string) => processesOf(tag).filter(({ name }) => name.startsWith("qemu-system"));

    test("is a user of its own without any privilege, whose number and directory go with it", async ({
      bench,
    }) => {
      const configuration = writeKataConfiguration(bench.scratch, "rootless", {
        "hypervisor.qemu": { rootless: true },
      });
      const flags = ["--runtime-config-path", configuration];
      const ids = [await bench.detach(IDLE, flags), await bench.detach(IDLE, flags)];
      const monitors = monitorsOf(bench.ctr.instance.tag);
      const uids = monitors.map(({ pid }) => statusField(pid, "Uid").split("\t"));
      expect(uids).toHaveLength(2);
      for (const each of uids) expect(new Set(each).size).toBe(1);
      expect(new Set(uids.map(([uid]) => uid)).size).toBe(2);
      for (const { pid } of monitors) {
        expect(Number(statusField(pid, "Uid").split("\t")[0])).toBeGreaterThan(2_000_000_000);
        expect(statusField(pid, "Groups").trim()).toBe("");
        expect(statusField(pid, "NoNewPrivs")).toBe("1");
        for (const set of ["CapEff", "CapPrm", "CapInh", "CapAmb"])
          expect(statusField(pid, set)).toBe("0".repeat(16));
      }
      const written = await bench.exec(ids[0] ?? "", "echo hello > /tmp/x && cat /tmp/x");
      expect(written.stdout).toBe("hello\n");
      const directories = uids.map(([uid]) => `/run/user/${uid}`);
      expect(directories.map((path) => existsSync(path))).toEqual([true, true]);
      for (const id of ids) {
        await bench.ctr.must(["task", "kill", "-s", "KILL", id]);
        await bench.ctr.must(["task", "delete", "-f", id]);
      }
      expect(directories.map((path) => existsSync(path))).toEqual([false, false]);
    });

    test("is the user that the operator names", async ({ bench }) => {
      const configuration = `${writeKataConfiguration(bench.scratch, "named", {
        "hypervisor.qemu": { rootless: true },
        "hypervisor.qemu.rootless_user": { uid: 61_001, gid: 61_002, groups: ["61003"] },
      })}`;
      const flags = ["--runtime-config-path", configuration];
      expect((await bench.run("true", flags)).stderr).toMatch(
        /rootless_user.*numbers of somebody else than root/,
      );
      const right = writeKataConfiguration(bench.scratch, "right", {
        "hypervisor.qemu": { rootless: true },
        "hypervisor.qemu.rootless_user": { uid: 61_001, gid: 61_002 },
      });
      await bench.detach(IDLE, ["--runtime-config-path", right]);
      const [monitor] = monitorsOf(bench.ctr.instance.tag);
      const pid = monitor?.pid ?? 0;
      expect(statusField(pid, "Uid").split("\t")[0]).toBe("61001");
      expect(statusField(pid, "Gid").split("\t")[0]).toBe("61002");
      expect(readdirSync("/run/user/61001")).toEqual([expect.stringMatching(/^kata-/)]);
    });
  },
);
