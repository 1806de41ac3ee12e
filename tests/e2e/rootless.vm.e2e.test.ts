import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { runCommand } from "../harness/command.ts";
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

const MONITOR = process.env.KATA_TEST_HYPERVISOR ?? "qemu";

// Firecracker is root in its jail, and remote machines have no monitor here.
describe.skipIf(!MONITOR.startsWith("qemu") && MONITOR !== "clh")("a rootless monitor", () => {
  /** All that is not root's, which is the monitors, and what they may have started. */
  const monitorsOf = (tag: string) =>
    processesOf(tag).filter(({ pid }) => statusField(pid, "Uid").split("\t")[0] !== "0");
  /** Each machine has one of these in any case. */
  const emulatorsOf = (tag: string) => processesOf(tag).filter(({ name }) => name.startsWith("qemu-system"));

  test("is a user of its own without any privilege, whose number and directory go with it", async ({
    bench,
  }) => {
    const configuration = writeKataConfiguration(bench.scratch, "rootless", {
      "hypervisor.qemu": { rootless: true },
    });
    const flags = ["--runtime-config-path", configuration];
    const ids = [await bench.detach(IDLE, flags), await bench.detach(IDLE, flags)];
    const monitors = monitorsOf(bench.ctr.instance.tag);
    const uidsOf = (pid: number) => new Set(statusField(pid, "Uid").split("\t"));
    for (const { pid } of monitors) expect(uidsOf(pid).size).toBe(1);
    const uids = new Set(monitors.flatMap(({ pid }) => [...uidsOf(pid)]));
    expect(uids.size).toBe(2);
    const emulators = emulatorsOf(bench.ctr.instance.tag);
    expect(new Set(emulators.flatMap(({ pid }) => [...uidsOf(pid)]))).toEqual(uids);
    for (const { pid } of monitors) {
      expect(Number(statusField(pid, "Uid").split("\t")[0])).toBeGreaterThan(2_000_000_000);
      expect(statusField(pid, "Groups").trim()).toBe("");
      expect(statusField(pid, "NoNewPrivs")).toBe("1");
      for (const set of ["CapEff", "CapPrm", "CapInh", "CapAmb"])
        expect(statusField(pid, set)).toBe("0".repeat(16));
    }
    const secret = join(bench.scratch, "secret");
    writeFileSync(secret, "root's own", { mode: 0o600 });
    for (const { pid } of monitors) {
      const [uid = ""] = uidsOf(pid);
      const asMonitor = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs"];
      const read = await runCommand("nsenter", ["-t", `${pid}`, "-m", ...asMonitor, "cat", secret]);
      expect(read).toMatchObject({ status: 1, stderr: expect.stringContaining("Permission denied") });
    }
    const written = await bench.exec(ids[0] ?? "", "echo hello > /tmp/x && cat /tmp/x");
    expect(written.stdout).toBe("hello\n");
    const directories = [...uids].map((uid) => `/run/user/${uid}`);
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
});
