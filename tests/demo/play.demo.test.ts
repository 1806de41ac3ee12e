import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { CHAPTERS } from "../../scripts/demo/chapters.ts";
import { runCommand, startCommand } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { expectHostClean, takeHostSnapshot } from "../harness/host-snapshot.ts";
import { busyboxImage, importImage } from "../harness/images.ts";
import { processesOf } from "../harness/instance-processes.ts";
import { type InstanceAddress, PrivateContainerd } from "../harness/private-containerd.ts";
import { RUNC_RUNTIME } from "../harness/subject.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const DEMO = [join(ROOT, "node_modules/.bin/tsx"), join(ROOT, "scripts/demo/run-demo.ts")] as const;

/** Where a distribution's own containerd listens. */
const SYSTEM_SOCKET = "/run/containerd/containerd.sock";

const DEMO_DEADLINE_MS = 800_000;
/** From a signal to the end of the clean-up, ms. */
const CLEAN_UP_DEADLINE_MS = 60_000;

/** Starts the demo and waits until a virtual machine boots in it. @returns it, and the tag of its containerd. */
async function startDemo(socketTag: (tag: string) => void) {
  const [program, script] = DEMO;
  const live = startCommand(program, [script], { cwd: ROOT, detached: true });
  try {
    await live.until("the first container", (stdout) => stdout.includes("exit status 0"), DEMO_DEADLINE_MS);
    const tag = /--namespace (\S+)/.exec(live.stdout)?.[1] ?? "";
    socketTag(tag);
    await eventually("a virtual machine", DEMO_DEADLINE_MS, () => {
      if (!live.running) throw new Error(live.stdout + live.stderr);
      return processesOf(tag).some(({ name }) => name.startsWith("qemu-system")) || undefined;
    });
    return live;
  } catch (error) {
    await live[Symbol.asyncDispose]();
    throw error;
  }
}

/** What the demo's containerd leaves is recognised by its tag. */
function instanceOf(tag: string): InstanceAddress {
  const directory = `/tmp/${tag}`;
  const socket = join(directory, "c.sock");
  return { tag, directory, socket, binaries: undefined, snapshotter: "native" };
}

describe("npm run demo", () => {
  test("ends with status 130 on Ctrl-C while a machine boots, and leaves nothing", async () => {
    let tag = "";
    await using live = await startDemo((name) => {
      tag = name;
    });
    const before = new Set<string>();
    process.kill(-live.pid, "SIGINT");
    const { status, stdout } = await live.exited(CLEAN_UP_DEADLINE_MS);
    expect(status, stdout).toBe(130);
    expect(stdout).toMatch(/ SIGINT: cleaning up\n[\s\S]*✓ nothing is left\n$/);
    expect(existsSync(`/tmp/${tag}`)).toBe(false);
    expect(processesOf(tag)).toEqual([]);
    await expectHostClean(instanceOf(tag), before, { containers: [], sharedHost: true });
  });

  test("removes what a killed run has left, and plays through beside a system containerd, which keeps its containers", async () => {
    let tag = "";
    {
      await using live = await startDemo((name) => {
        tag = name;
      });
      process.kill(-live.pid, "SIGKILL");
      await live.exited(CLEAN_UP_DEADLINE_MS);
    }
    expect(processesOf(tag).length).toBeGreaterThan(0);

    await using system = await systemContainerd();
    const image = await busyboxImage();
    await importImage(system.ctr, image);
    const command = ["sh", "-c", "while :; do sleep 1; done"];
    const neighbour = {
      id: `${system.address.tag}-neighbour`,
      image: image.name,
      runtime: RUNC_RUNTIME,
      command,
    };
    await system.ctr.runDetached(neighbour);
    const state = await system.ctr.taskState(neighbour.id);
    const before = await takeHostSnapshot(system.address);

    const [program, script] = DEMO;
    const { status, stdout, stderr } = await runCommand(program, [script], {
      cwd: ROOT,
      deadlineMs: DEMO_DEADLINE_MS,
    });
    expect({ status, stderr, stdout }).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("The demo took"),
    });
    expect(stdout).toContain(`Removed what a killed run had left: /tmp/${tag}\n`);
    for (const { title } of CHAPTERS) expect(stdout).toMatch(new RegExp(`^\\d\\. ${title}$`, "m"));
    expect(stdout).toContain("✓ two kernels:");
    expect(stdout).toContain("✓ the result is on the host");
    expect(stdout).not.toContain("✗");

    expect(state).toMatchObject({ state: "RUNNING" });
    expect(await system.ctr.taskState(neighbour.id)).toEqual(state);
    expect(processesOf(tag)).toEqual([]);
    await expectHostClean(instanceOf(tag), before, { containers: [], sharedHost: true });
  });
});

/** A containerd where a distribution's would be; on a machine that has one, a further one beside it. */
async function systemContainerd(): Promise<PrivateContainerd> {
  if (existsSync(SYSTEM_SOCKET)) return await PrivateContainerd.start();
  const containerd = await PrivateContainerd.start({ socket: SYSTEM_SOCKET });
  const stop = containerd[Symbol.asyncDispose].bind(containerd);
  containerd[Symbol.asyncDispose] = async () => {
    await stop();
    for (const suffix of ["", ".ttrpc"]) rmSync(`${SYSTEM_SOCKET}${suffix}`, { force: true });
  };
  return containerd;
}
