import { readFileSync } from "node:fs";
import { connect } from "node:net";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { agentServiceClient } from "../../build/generated/agent.ts";
import { KataError } from "../../src/kata-error.ts";
import { GUEST_ITSELF } from "../../src/oci/guest-itself.ts";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec, withMounts } from "./harness/container-spec.ts";

const SHARED = "/run/kata-containers/shared/containers";
const SANDBOX = "/run/kata-containers/sandbox";

let rootfs: Rootfs;
let agent: TestAgent;

beforeAll(() => {
  rootfs = busyboxRootfs();
});
afterAll(() => rootfs[Symbol.dispose]());
beforeEach(async () => {
  agent = await startAgent();
});
afterEach(() => agent[Symbol.asyncDispose]());

const sh = (script: string) => containerSpec(rootfs.path, ["sh", "-c", script]);
const bind = (source: string, destination: string) => ({ destination, source, options: ["rbind"] });

describe("processes in the guest itself", () => {
  test("are refused without a debug console, and no container can have their name", async () => {
    const guest = agent.container(GUEST_ITSELF);
    await expect(guest.exec("e1", ["true"])).rejects.toThrow(/it has no debug console/);
    await expect(guest.wait()).rejects.toThrow(/find process/);
    await expect(agent.create(sh("true"), GUEST_ITSELF)).rejects.toThrow(/container id/);
  });
});

describe("health", () => {
  test("Check says that the agent serves, Version tells the protocol's version", async () => {
    expect(await agent.check()).toBe("SERVING");
    expect(await agent.version()).toEqual({ protocol: "0.0.1", agent: "0.1.0" });
  });

  test("the agent serves on when a client sends garbage or hangs up", async () => {
    for (const garbage of [
      Buffer.alloc(4096, 0xff),
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.alloc(0),
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect(agent.socketPath, () => socket.end(garbage));
        socket.on("close", () => resolve()).on("error", () => resolve());
        socket.resume();
      });
    }
    expect(await agent.check()).toBe("SERVING");
  });

  test("the agent answers any bytes for any method with an error or an answer, and keeps nothing of them", async () => {
    const before = agent.state();
    // DestroySandbox takes any bytes for what they are.
    const methods = Object.keys(agentServiceClient({ call: async () => new Uint8Array(0) }))
      .map((name) => name.charAt(0).toUpperCase() + name.slice(1))
      .filter((name) => name !== "DestroySandbox");
    const bytes = fc.uint8Array({ maxLength: 64 });
    // A field with a length, as most of the protocol's are: it is understood far more often.
    const field = fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.uint8Array({ maxLength: 40 }))
      .map(([number, value]) => new Uint8Array([(number << 3) | 2, value.length, ...value]));
    const payload = fc.oneof(
      bytes,
      fc.array(field, { maxLength: 6 }).map((fields) => Buffer.concat(fields)),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...methods), payload, async (method, message) => {
        try {
          await agent.callRaw(method, message);
        } catch (error) {
          if (!(error instanceof KataError) || error.code === "unavailable") throw error;
        }
      }),
      { numRuns: 3000 },
    );
    expect(await agent.check()).toBe("SERVING");
    expect(agent.childProcesses()).toEqual([]);
    expect(agent.state().cgroups).toEqual(before.cgroups);
  });

  test("guest details name the storage drivers", async () => {
    const details = await agent.guestDetails();
    expect(details).toMatchObject({ version: "0.1.0", initDaemon: false, supportsSeccomp: true });
    expect(details.storageHandlers).toEqual(
      expect.arrayContaining(["9p", "blk", "ephemeral", "local", "overlayfs", "scsi", "virtio-fs"]),
    );
  });

  test("metrics tell the agent's own memory", async () => {
    const text = await agent.metrics();
    const resident = Number(/^kata_agent_total_rss (\d+)$/m.exec(text)?.[1]);
    expect(resident).toBeGreaterThan(100_000);
    expect(resident).toBeLessThan(8 << 20);
  });
});

describe("sandbox", () => {
  test("containers share host name and IPC namespace, and the machine keeps its own", async () => {
    const before = readFileSync("/proc/sys/kernel/hostname", "utf8");
    await agent.createSandbox({ hostname: "pod-name" });
    const script = "hostname; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts";
    const [first, second] = [await agent.run(sh(script)), await agent.run(sh(script))];
    expect(first.stdout).toMatch(/^pod-name\nipc:.*\nuts:.*\n$/);
    expect(second.stdout).toBe(first.stdout);
    expect(readFileSync("/proc/sys/kernel/hostname", "utf8")).toBe(before);
  });

  test.each([
    ["the sandbox was made with it", { sharedPidNamespace: true }],
    ["the first of them asks for it", {}],
  ])("containers see each other's processes in a shared pid namespace: %s", async (_when, options) => {
    await agent.createSandbox(options);
    await using one = await agent.create(containerSpec(rootfs.path, ["sleep", "12345"]), "one", {
      sharedPidNamespace: true,
    });
    await one.start();
    await using two = await agent.create(sh("ps"), "two", { sharedPidNamespace: true });
    await two.start();
    const text = (await two.readAll("stdout")).toString();
    expect(text).toMatch(/sleep 12345/);
    expect(text).toMatch(/^ +1 root /m);
  });

  test("a second sandbox is refused", async () => {
    await agent.createSandbox({});
    await expect(agent.createSandbox({})).rejects.toThrow("create sandbox: it is created");
  });

  test("name servers are written for containers to mount", async () => {
    await agent.createSandbox({ dns: ["nameserver 10.0.0.1", "search example.org"] });
    const spec = withMounts(sh("cat /etc/resolv.conf"), bind(`${SANDBOX}/resolv.conf`, "/etc/resolv.conf"));
    expect((await agent.run(spec)).stdout).toBe("nameserver 10.0.0.1\nsearch example.org\n");
  });

  test("destroying the sandbox ends all containers, and the agent ends when the host hangs up", async () => {
    await agent.createSandbox({ sharedPidNamespace: true });
    const container = await agent.create(containerSpec(rootfs.path, ["sleep", "1000"]));
    await container.start();
    await agent.destroySandbox();
    expect(agent.childProcesses()).toEqual([]);
    agent.hangUp();
    expect(await agent.exited()).toBe(0);
  });

  test("the agent takes its containers and cgroups with it when it is told to end", async () => {
    const container = await agent.create(containerSpec(rootfs.path, ["sleep", "1000"]));
    await container.start();
    const { processes } = agent.state();
    expect(processes).not.toEqual([]);
    agent.terminate();
    expect(await agent.exited()).toBe(0);
    await agent.expectNothingLeft();
  });

  test("its containers end when the agent is killed", async () => {
    const container = await agent.create(containerSpec(rootfs.path, ["sleep", "1000"]));
    await container.start();
    const pids = agent.childProcesses();
    agent.kill();
    await agent.exited();
    await agent.gone(pids);
  });
});

describe("storage", () => {
  test("an ephemeral storage is a tmpfs of its size that containers share", async () => {
    const mountPoint = `${SANDBOX}/ephemeral/cache`;
    const storage = {
      driver: "ephemeral",
      source: "tmpfs",
      fstype: "tmpfs",
      options: ["size=1m", "fsgid=2000"],
      mountPoint,
    };
    await agent.createSandbox({ storages: [storage] });
    const volume = bind(mountPoint, "/data");
    const script =
      "stat -c %g /data; head -c 2000000 /dev/zero > /data/big; ls -l /data/big | awk '{print $5}'";
    const first = await agent.run(withMounts(sh(script), volume));
    expect(first.stdout).toBe("2000\n1048576\n");
    await agent.updateEphemeralMounts([{ ...storage, options: ["size=3m"] }]);
    const second = await agent.run(
      withMounts(sh("head -c 2000000 /dev/zero > /data/big; stat -c %s /data/big"), volume),
    );
    expect(second.stdout).toBe("2000000\n");
  });

  test("a local storage is a directory with its mode", async () => {
    const mountPoint = `${SANDBOX}/storage/dir`;
    const storage = { driver: "local", source: "local", fstype: "local", options: ["mode=0777"], mountPoint };
    await agent.createSandbox({ storages: [storage] });
    expect((await agent.run(withMounts(sh("stat -c %a /data"), bind(mountPoint, "/data")))).stdout).toBe(
      "777\n",
    );
  });

  test("an overlay is a container's root, and its changes stay in the upper directory", async () => {
    await agent.createSandbox({});
    const root = `${SANDBOX}/overlay/root`;
    const storages = [
      {
        driver: "overlayfs",
        source: "overlay",
        fstype: "overlay",
        options: [
          `lowerdir=${rootfs.path}`,
          `upperdir=${SANDBOX}/overlay/upper`,
          `workdir=${SANDBOX}/overlay/work`,
        ],
        mountPoint: root,
      },
    ];
    await using container = await agent.create(
      containerSpec(root, ["sh", "-c", "echo new > /overlaid; cat /overlaid"]),
      "layered",
      {
        storages,
      },
    );
    await container.start();
    expect((await container.readAll("stdout")).toString()).toBe("new\n");
    expect(() => readFileSync(`${rootfs.path}/overlaid`)).toThrow("ENOENT");
  });

  test.each([
    [{ driver: "nosuch", source: "", fstype: "", options: [], mountPoint: "/run/x" }, "this agent has"],
    [
      { driver: "bind", source: "/tmp", fstype: "bind", options: [], mountPoint: "/run/../etc" },
      "without '..'",
    ],
    [
      { driver: "blk", source: "1f/1f", fstype: "ext4", options: [], mountPoint: "/run/x" },
      "wait for device",
    ],
    [{ driver: "blk", source: "zz", fstype: "ext4", options: [], mountPoint: "/run/x" }, "read PCI path"],
  ])("the storage %j is refused and the sandbox can be created afterwards", async (storage, message) => {
    await expect(agent.createSandbox({ storages: [storage] })).rejects.toThrow(message);
    await agent.createSandbox({});
  });
});

describe("CopyFile", () => {
  const chunk = (path: string, data: string, more: object = {}) => ({
    path: `${SHARED}/${path}`,
    fileSize: data.length,
    fileMode: 0o100644,
    dirMode: 0o755,
    uid: 0,
    gid: 0,
    offset: 0,
    data: Buffer.from(data),
    ...more,
  });

  test("a file comes in chunks, appears when it is complete, and has its mode and owner", async () => {
    await agent.createSandbox({});
    const first = chunk("v/file", "hello ", { fileSize: 11, fileMode: 0o100640, uid: 7, gid: 8 });
    await agent.copyFile(first);
    const spec = withMounts(
      sh("cd /data; ls; stat -c '%a %u %g' file; cat file"),
      bind(`${SHARED}/v`, "/data"),
    );
    expect((await agent.run(spec)).stdout).toBe("file.tmp\n");
    await agent.copyFile({ ...first, offset: 6, data: Buffer.from("world") });
    expect((await agent.run(spec)).stdout).toBe("file\n640 7 8\nhello world");
  });

  test("directories and links are made", async () => {
    await agent.createSandbox({});
    await agent.copyFile(chunk("v/dir", "", { fileMode: 0o040750 }));
    await agent.copyFile(chunk("v/dir/data", "x"));
    await agent.copyFile(chunk("v/link", "dir/data", { fileMode: 0o120777 }));
    const spec = withMounts(sh("stat -c %a /data/dir; cat /data/link"), bind(`${SHARED}/v`, "/data"));
    expect((await agent.run(spec)).stdout).toBe("750\nx");
  });

  test("a link does not lead a later file out of the shared directory (CVE-2026-41326)", async () => {
    await agent.createSandbox({});
    await expect(agent.copyFile(chunk("link", "/etc", { fileMode: 0o120777 }))).rejects.toThrow(
      "leads out of",
    );
    await expect(agent.copyFile(chunk("link", "../../../etc", { fileMode: 0o120777 }))).rejects.toThrow(
      "leads out of",
    );
    // A container can make any link in a volume that it writes to.
    await agent.copyFile(chunk("v", "", { fileMode: 0o040777 }));
    await agent.run(
      withMounts(sh("ln -s /etc /data/evil; ln -s /etc/passwd /data/file"), bind(`${SHARED}/v`, "/data")),
    );
    await expect(agent.copyFile(chunk("v/evil/owned", "x"))).rejects.toThrow(/ELOOP|ENOTDIR/);
    await agent.copyFile(chunk("v/file", "replaced"));
    const spec = withMounts(sh("cat /data/file; grep -c root /etc/passwd"), bind(`${SHARED}/v`, "/data"));
    expect((await agent.run(spec)).stdout).toBe("replaced1\n");
  });

  test.each(["/etc/owned", `${SHARED}/../../../../etc/owned`, "relative", SHARED])(
    "a file at %s is refused",
    async (path) => {
      await agent.createSandbox({});
      await expect(agent.copyFile({ ...chunk("x", "x"), path })).rejects.toThrow("copy file");
    },
  );

  test("a chunk that does not fit into its file is refused", async () => {
    await agent.createSandbox({});
    await expect(agent.copyFile(chunk("f", "abc", { fileSize: 2 }))).rejects.toThrow("do not fit");
    await expect(agent.copyFile(chunk("f", "abc", { offset: -1 }))).rejects.toThrow("do not fit");
  });
});

describe("machine", () => {
  test("the generator takes new randomness", async () => {
    await agent.reseed(Buffer.alloc(64, 7));
    await expect(agent.reseed(Buffer.alloc(0))).rejects.toThrow("reseed");
  });

  test("what changes the whole machine is refused where it is not the agent's own", async () => {
    const refusal = { code: "failed-precondition", message: expect.stringContaining("not the agent's own") };
    await expect(agent.addSwap()).rejects.toMatchObject(refusal);
  });

  test("volume statistics tell bytes and inodes", async () => {
    const usage = await agent.volumeStats("/tmp");
    expect(usage.map(({ unit }) => unit)).toEqual(["BYTES", "INODES"]);
    for (const { total, used, available } of usage) {
      expect(total).toBeGreaterThan(0);
      expect(used + available).toBeLessThanOrEqual(total);
    }
  });

  test("the agent's resident memory stays below 3 MiB with one container", async () => {
    await using container = await agent.create(containerSpec(rootfs.path, ["sleep", "1000"]));
    await container.start();
    expect(agent.residentBytes()).toBeLessThan(3 << 20);
  });
});
