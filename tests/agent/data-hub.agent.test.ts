/** The agent beside a confidential data hub: sealed variables, and images that the guest pulls. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./harness/agent.ts";
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

const VOLUME = "/run/kata-containers/shared/containers/c-secret-volume";

/** Copies a volume of Kubernetes' to the agent, as a host does that shares no files with it. */
async function copyVolume(agent: TestAgent, files: Readonly<Record<string, string>>): Promise<void> {
  const newest = "..2026_11_27";
  const copy = (path: string, mode: number, content: string) =>
    agent.copyFile({
      path: `${VOLUME}/${path}`,
      fileSize: BigInt(content.length),
      fileMode: mode,
      dirMode: 0o755,
      uid: 0,
      gid: 0,
      offset: 0n,
      data: Buffer.from(content),
    });
  for (const [name, content] of Object.entries(files)) await copy(`${newest}/${name}`, 0o100440, content);
  await copy("..data", 0o120777, newest);
  for (const name of Object.keys(files)) await copy(name, 0o120777, `..data/${name}`);
}

function reading(...mounts: readonly { readonly source: string; readonly destination: string }[]) {
  const script = mounts.map(({ destination }) => `cat ${destination}`).join("; ");
  const spec = containerSpec(rootfs.path, ["sh", "-c", script]);
  const binds = mounts.map(({ source, destination }) => ({
    source,
    destination: destination.replace(/\/\*$/, ""),
    type: "bind",
    options: ["rbind", "ro"],
  }));
  return { ...spec, mounts: [...(spec.mounts ?? []), ...binds] };
}

test("sealed files are in the open in the container alone, beside others as they are", async () => {
  await using hub = await startDataHub({ "sealed.abc": "hunter2" }, { name: IMAGE, rootfs: rootfs.path });
  await using agent = await startAgent();
  hub.root = `/proc/${agent.pid}/root`;
  await copyVolume(agent, { password: "sealed.abc", user: "alice" });
  const before = agent.state();
  const spec = reading(
    { source: VOLUME, destination: "/secret/*" },
    {
      source: `${VOLUME}/..data/password`,
      destination: "/one",
    },
  );
  {
    await using container = await agent.create(spec);
    await container.start();
    expect(await container.result()).toEqual({ status: 0, stdout: "hunter2alicehunter2", stderr: "" });
    // The volume, which the host may see, is as it was.
    expect(readFileSync(`${hub.root}${VOLUME}/password`, "utf8")).toBe("sealed.abc");
  }
  expect(readdirSync(`${hub.root}/run/kata-containers/unsealed`)).toEqual([]);
  await agent.settled(before);
});

test("a container with a sealed file that the hub refuses is not created", async () => {
  await using _hub = await startDataHub({}, { name: IMAGE, rootfs: rootfs.path });
  await using agent = await startAgent();
  await copyVolume(agent, { password: "sealed.abc" });
  const spec = reading({ source: VOLUME, destination: "/secret/*" });
  await expect(agent.create(spec)).rejects.toThrow("not for this guest");
});

test("without a hub sealed files stay sealed", async () => {
  await using agent = await startAgent();
  await copyVolume(agent, { password: "sealed.abc" });
  const { stdout } = await agent.run(reading({ source: VOLUME, destination: "/secret/*" }));
  expect(stdout).toBe("sealed.abc");
});

const ENCRYPTED = {
  driver: "mmioblk",
  driverOptions: ["encryption_key=ephemeral", "create_filesystem"],
  source: "/dev/loop0",
  fstype: "ext4",
  options: [],
  mountPoint: "/run/kata-containers/sandbox/storage/encrypted",
};

test("a disk with a key of the guest's alone is mounted by the hub, once, and stays for the pod's containers", async () => {
  await using hub = await startDataHub({}, { name: IMAGE, rootfs: rootfs.path });
  await using agent = await startAgent();
  hub.agent = agent.pid;
  const run = async (script: string) => {
    const spec = containerSpec(rootfs.path, ["sh", "-c", script]);
    const mount = { source: ENCRYPTED.mountPoint, destination: "/data", type: "bind", options: ["rbind"] };
    const mounts = [...(spec.mounts ?? []), mount];
    await using container = await agent.create({ ...spec, mounts }, undefined, { storages: [ENCRYPTED] });
    await container.start();
    return await container.result();
  };
  expect(await run("echo kept > /data/file; stat -c %a /data")).toMatchObject({ stdout: "777\n" });
  expect(await run("cat /data/file")).toMatchObject({ stdout: "kept\n" });
  expect(hub.mounted).toEqual([
    {
      type: "block-device",
      options: {
        deviceId: "7:0",
        sourceType: "empty",
        targetType: "fileSystem",
        filesystemType: "ext4",
        encryptionType: "luks2",
        dataIntegrity: "true",
      },
    },
  ]);
});

test("without a hub a disk with a key of the guest's alone is refused", async () => {
  await using agent = await startAgent();
  await expect(
    agent.create(containerSpec(rootfs.path, ["true"]), undefined, { storages: [ENCRYPTED] }),
  ).rejects.toThrow("no confidential data hub");
});
