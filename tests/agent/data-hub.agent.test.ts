/** The agent beside a confidential data hub: sealed variables, and images that the guest pulls. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec } from "./harness/container-spec.ts";
import { startDataHub } from "./harness/data-hub.ts";

let rootfs: Rootfs;

beforeAll(() => {
  rootfs = busyboxRootfs();
});
afterAll(() => rootfs[Symbol.dispose]());

const IMAGE = "registry.example.com/app:1";
const PULLED_ROOT = "/run/kata-containers/pulled/rootfs";

function withEnvironment(...env: string[]) {
  const spec = containerSpec(rootfs.path, ["sh", "-c", "echo $PASSWORD $OTHER"]);
  return {
    ...spec,
    process: {
      ...spec.process,
      args: spec.process?.args ?? [],
      cwd: "/",
      user: { uid: 0, gid: 0 },
      env: ["PATH=/bin", ...env],
    },
  };
}

const pull = (source: string) => ({
  driver: "image_guest_pull",
  driverOptions: [`image_guest_pull={"metadata":{}}`],
  source,
  fstype: "overlay",
  options: [],
  mountPoint: PULLED_ROOT,
});

test("a sealed variable is in the open in the container, others stay as they are", async () => {
  await using _hub = await startDataHub(
    { "sealed.abc.def": "hunter2" },
    { name: IMAGE, rootfs: rootfs.path },
  );
  await using agent = await startAgent();
  const spec = withEnvironment("PASSWORD=sealed.abc.def", "OTHER=not.sealed.x");
  expect(await agent.run(spec)).toEqual({ status: 0, stdout: "hunter2 not.sealed.x\n", stderr: "" });
});

test("a container whose secret the hub refuses is not created, and tells the hub's words", async () => {
  await using _hub = await startDataHub({}, { name: IMAGE, rootfs: rootfs.path });
  await using agent = await startAgent();
  await expect(agent.run(withEnvironment("PASSWORD=sealed.abc.def"))).rejects.toThrow("not for this guest");
});

test("without a hub a sealed variable stays sealed", async () => {
  await using agent = await startAgent();
  const { stdout } = await agent.run(withEnvironment("PASSWORD=sealed.abc.def"));
  expect(stdout).toBe("sealed.abc.def\n");
});

test("an image that the guest pulls is the container's root, and goes with it", async () => {
  await using hub = await startDataHub({}, { name: IMAGE, rootfs: rootfs.path });
  await using agent = await startAgent();
  hub.root = `/proc/${agent.pid}/root`;
  const before = agent.state();
  const spec = containerSpec(PULLED_ROOT, ["sh", "-c", "echo in > /new; cat /new"]);
  {
    await using container = await agent.create(spec, undefined, { storages: [pull(IMAGE)] });
    await container.start();
    expect(await container.result()).toEqual({ status: 0, stdout: "in\n", stderr: "" });
  }
  expect(hub.pulled).toEqual([IMAGE]);
  await agent.settled(before);
});

test.each([
  ["the hub does not have", true, /registry\.example\.com\/none/],
  ["nobody can find", false, /pull image: registry\.example\.com\/none:1/],
])("an image that %s is told of by its name, and leaves nothing", async (_what, hasHub, message) => {
  await using _hub = hasHub ? await startDataHub({}, { name: IMAGE, rootfs: rootfs.path }) : undefined;
  await using agent = await startAgent();
  const before = agent.state();
  const spec = containerSpec(PULLED_ROOT, ["true"]);
  await expect(
    agent.create(spec, undefined, { storages: [pull("registry.example.com/none:1")] }),
  ).rejects.toThrow(message);
  await agent.settled(before);
});
