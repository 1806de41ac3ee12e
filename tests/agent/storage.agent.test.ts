/** Volumes that the agent provides beyond plain mounts: those that grow, are of several disks or of huge pages; guest hooks. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec, withMounts } from "./harness/container-spec.ts";

let rootfs: Rootfs;
let agent: TestAgent;
let host: string;

beforeAll(() => {
  rootfs = busyboxRootfs();
});
afterAll(() => rootfs[Symbol.dispose]());
beforeEach(async () => {
  agent = await startAgent();
  host = mkdtempSync(join(tmpdir(), "kata-agent-storage-"));
});
afterEach(async () => {
  await agent[Symbol.asyncDispose]();
  rmSync(host, { recursive: true, force: true });
});

/** The kernel lets a file system grow for who has CAP_SYS_RESOURCE (24), which not every machine gives. */
const CAPABILITIES = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
const MAY_RESIZE = ((BigInt(`0x${CAPABILITIES}`) >> 24n) & 1n) === 1n;

const sh = (script: string) => containerSpec(rootfs.path, ["sh", "-c", script]);
const _bind = (source: string, destination: string) => ({ destination, source, options: ["rbind", "ro"] });

describe("ResizeVolume", () => {
  /** A disk of `megabytes` whose ext4 has `used` of them. */
  function disk(
    megabytes: number,
    used: number,
  ): { readonly device: string; readonly file: string } & Disposable {
    const file = join(host, "disk");
    writeFileSync(file, "");
    truncateSync(file, megabytes << 20);
    execFileSync("/sbin/mkfs.ext4", ["-q", "-F", "-b", "4096", file, `${used}M`], { stdio: "ignore" });
    const device = execFileSync("/sbin/losetup", ["--find", "--show", file], { encoding: "utf8" }).trim();
    return {
      device,
      file,
      [Symbol.dispose]: () => execFileSync("/sbin/losetup", ["--detach", device]),
    };
  }

  const total = async (path: string) =>
    (await agent.volumeStats(path)).find(({ unit }) => unit === "BYTES")?.total ?? 0;

  test.skipIf(!MAY_RESIZE)(
    "ext4 grows in use to the size of its disk, keeps its files, and does not shrink",
    async () => {
      using loop = disk(64, 16);
      const mountPoint = join(host, "volume");
      const storage = { driver: "mmioblk", source: loop.device, fstype: "ext4", options: [], mountPoint };
      const spec = withMounts(
        sh("echo kept > /data/file; read x; cat /data/file; df -m /data | tail -1 | wc -l"),
        {
          destination: "/data",
          source: mountPoint,
          options: ["rbind"],
        },
      );
      await using container = await agent.create(spec, undefined, { storages: [storage] });
      await container.start();
      const small = await total(mountPoint);
      expect(small).toBeLessThan(16 << 20);
      await agent.resizeVolume(mountPoint, 48 << 20);
      const grown = await total(mountPoint);
      expect(grown).toBeGreaterThan(40 << 20);
      await expect(agent.resizeVolume(mountPoint, 8 << 20)).rejects.toThrow("does not shrink");
      await agent.resizeVolume(mountPoint, 0);
      expect(await total(mountPoint)).toBeGreaterThan(grown);
      await container.writeStdin(Buffer.from("go\n"));
      expect((await container.result()).stdout).toBe("kept\n1\n");
    },
  );

  test("a disk that has not grown is waited for, and then said to be too small", async () => {
    using loop = disk(16, 8);
    const mountPoint = join(host, "volume");
    const storage = { driver: "mmioblk", source: loop.device, fstype: "ext4", options: [], mountPoint };
    await using _container = await agent.create(sh("exec sleep 1000"), undefined, { storages: [storage] });
    await expect(agent.resizeVolume(mountPoint, 64 << 20)).rejects.toMatchObject({
      code: "deadline-exceeded",
    });
    await expect(agent.resizeVolume(mountPoint, 1 << 20)).rejects.toMatchObject({ code: "out-of-range" });
    if (!MAY_RESIZE) return;
    // The host makes it larger while it is waited for.
    truncateSync(loop.file, 64 << 20);
    setTimeout(() => execFileSync("/sbin/losetup", ["--set-capacity", loop.device]), 300);
    await agent.resizeVolume(mountPoint, 64 << 20);
    expect(await total(mountPoint)).toBeGreaterThan(50 << 20);
  });

  test("a volume in memory takes its new size", async () => {
    const mountPoint = join(host, "memory");
    const storage = {
      driver: "ephemeral",
      source: "tmpfs",
      fstype: "tmpfs",
      options: ["size=1m"],
      mountPoint,
    };
    await agent.createSandbox({ storages: [storage] });
    await agent.resizeVolume(mountPoint, 4 << 20);
    expect(await total(mountPoint)).toBe(4 << 20);
  });

  test("what is no storage of the pod is not resized, nor is a file system of the host's", async () => {
    await expect(agent.resizeVolume("/", 1 << 30)).rejects.toMatchObject({ code: "not-found" });
    const mountPoint = join(host, "proc");
    const storage = { driver: "bind", source: "/proc", fstype: "bind", options: ["bind"], mountPoint };
    await agent.createSandbox({ storages: [storage] });
    await expect(agent.resizeVolume(mountPoint, 1 << 30)).rejects.toThrow("is proc");
  });
});

describe("an image of several disks", () => {
  /** A disk with `files`, as a device that lasts until the end of the scope. */
  function layer(name: string, files: Readonly<Record<string, string>>) {
    const content = join(host, `${name}.d`);
    mkdirSync(content);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(content, path, ".."), { recursive: true });
      writeFileSync(join(content, path), text);
    }
    const file = join(host, name);
    writeFileSync(file, "");
    truncateSync(file, 8 << 20);
    execFileSync("/sbin/mkfs.ext4", ["-q", "-F", "-d", content, file], { stdio: "ignore" });
    const device = execFileSync("/sbin/losetup", ["--find", "--show", file], { encoding: "utf8" }).trim();
    return { device, [Symbol.dispose]: () => execFileSync("/sbin/losetup", ["--detach", device]) };
  }

  const part = (source: string, mountPoint: string, ...options: string[]) => ({
    driver: "blk",
    source,
    fstype: "ext4",
    options: ["X-kata.multi-layer=true", ...options],
    mountPoint,
  });

  test("its layers are put together below a disk that takes the changes", async () => {
    using upper = layer("upper", {});
    using top = layer("top", { a: "top", "dir/only-top": "1" });
    using bottom = layer("bottom", { a: "bottom", b: "bottom" });
    const mountPoint = join(host, "rootfs");
    const storages = [
      part(upper.device, mountPoint, "X-kata.overlay-upper", "X-kata.mkdir.path={{ mount 0 }}/upper:0755"),
      part(top.device, mountPoint, "X-kata.overlay-lower", "ro"),
      part(bottom.device, mountPoint, "X-kata.overlay-lower", "ro"),
    ];
    const before = agent.state();
    const script = "cd /data; cat a b dir/only-top; echo; echo new > a; rm b; touch c; ls | tr '\\n' ' '";
    const spec = withMounts(sh(script), { destination: "/data", source: mountPoint, options: ["rbind"] });
    for (const expected of ["topbottom1\na c dir lost+found ", "new\n1\na c dir lost+found "]) {
      const container = await agent.create(spec, undefined, { storages });
      await container.start();
      expect((await container.result()).stdout).toBe(expected);
      await container.remove();
    }
    await agent.settled(before);
  });

  test.each([
    [["X-kata.overlay-lower"], "0 upper and 1 lower"],
    [["X-kata.overlay-upper"], "1 upper and 0 lower"],
    [["X-kata.overlay-upper", "X-kata.mkdir.path={{ mount 0 }}/../x"], "1 upper and 0 lower"],
  ])("layers with %j alone are refused, and nothing is left", async (options, message) => {
    using disk = layer("disk", {});
    const before = agent.state();
    const storages = [part(disk.device, join(host, "rootfs"), ...options)];
    await expect(agent.create(sh("true"), undefined, { storages })).rejects.toThrow(message);
    expect(agent.state()).toEqual(before);
  });

  test.each([
    ["encryption_key=ephemeral", "unimplemented"],
    ["verity_info={}", "invalid-argument"],
  ])("a disk with %s is refused rather than used as it is", async (option, code) => {
    const storage = { ...part("/dev/loop0", join(host, "x")), options: [], driverOptions: [option] };
    await expect(agent.createSandbox({ storages: [storage] })).rejects.toMatchObject({ code });
  });

  test("an overlay of many layers is mounted, though their names are long", async () => {
    const layers = Array.from({ length: 20 }, (_, number) => {
      const path = join(host, `layer-with-a-long-name-${number}`);
      mkdirSync(path);
      writeFileSync(join(path, `f${number}`), "");
      return path;
    });
    const mountPoint = join(host, "merged");
    const storage = {
      driver: "overlayfs",
      source: "overlay",
      fstype: "overlay",
      options: [`lowerdir=${layers.join(":")}`, `upperdir=${host}/up`, `workdir=${host}/work`],
      mountPoint,
    };
    const spec = withMounts(sh("ls /data | wc -l; touch /data/new"), {
      destination: "/data",
      source: mountPoint,
      options: ["rbind"],
    });
    await using container = await agent.create(spec, undefined, { storages: [storage] });
    await container.start();
    expect((await container.result()).stdout).toBe("20\n");
    expect(existsSync(join(host, "up/new"))).toBe(true);
  });
});

describe("guest hooks", () => {
  test("executables below the hook directory run for every container, in the order of their names", async () => {
    const hooks = join(host, "hooks");
    const log = join(host, "log");
    const write = (path: string, mode: number) => {
      mkdirSync(join(hooks, path, ".."), { recursive: true });
      writeFileSync(
        join(hooks, path),
        `#!/bin/sh\necho "$0 $1 $(cat | tr ',' '\\n' | grep status)" >> ${log}\n`,
        { mode },
      );
    };
    write("prestart/20-second", 0o755);
    write("prestart/10-first", 0o755);
    write("prestart/readme", 0o644);
    write("poststart/one", 0o755);
    write("poststop/one", 0o755);
    await agent.createSandbox({ guestHookPath: hooks });
    await agent.run(sh("true"));
    expect(readFileSync(log, "utf8").trim().split("\n")).toEqual([
      `${hooks}/prestart/10-first prestart "status":"creating"`,
      `${hooks}/prestart/20-second prestart "status":"creating"`,
      `${hooks}/poststart/one poststart "status":"running"`,
      `${hooks}/poststop/one poststop "status":"stopped"`,
    ]);
  });

  test("a hook directory that the guest does not have is no failure", async () => {
    await agent.createSandbox({ guestHookPath: "/no/such/hooks" });
    expect((await agent.run(sh("echo ran"))).stdout).toBe("ran\n");
  });
});

describe("huge pages", () => {
  const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
  const pages = () => readFileSync(pool, "utf8").trim();
  const storage = (mountPoint: string, options: string[]) => ({
    driver: "ephemeral",
    source: "nodev",
    fstype: "hugetlbfs",
    options,
    mountPoint,
  });

  test.skipIf(!existsSync(pool))(
    "a volume of huge pages has them set aside, and gives them back",
    async () => {
      const before = pages();
      const mountPoint = join(host, "huge");
      const options = ["pagesize=2M", "size=8M"];
      const spec = withMounts(sh("grep -o '/data hugetlbfs.*' /proc/mounts"), {
        destination: "/data",
        source: mountPoint,
        options: ["rbind"],
      });
      {
        await using container = await agent.create(spec, undefined, {
          storages: [storage(mountPoint, options)],
        });
        await container.start();
        expect((await container.result()).stdout).toContain("pagesize=2M,size=8388608");
        expect(Number(pages())).toBe(Number(before) + 4);
      }
      expect(pages()).toBe(before);
    },
  );

  test.each([
    [["pagesize=2M"], "it takes pagesize= and size="],
    [["pagesize=3M", "size=6M"], "no pages of that size"],
  ])("a volume of huge pages with %j is refused", async (options, message) => {
    const storages = [storage(join(host, "huge"), options)];
    await expect(agent.createSandbox({ storages })).rejects.toThrow(message);
  });
});

test("a container starts again in a live pod, with its id, storages and hooks", async () => {
  await agent.createSandbox({ hostname: "pod" });
  const volume = join(host, "volume");
  mkdirSync(volume);
  await using neighbour = await agent.create(sh("exec sleep 1000"));
  await neighbour.start();
  const before = agent.state();
  for (let round = 1; round <= 5; round++) {
    const spec = withMounts(sh("hostname; echo x >> /data/rounds; cat /data/rounds | wc -l; ls /memory"), {
      destination: "/data",
      source: volume,
      options: ["rbind"],
    });
    const mountPoint = join(host, "memory");
    const memory = { driver: "ephemeral", source: "tmpfs", fstype: "tmpfs", options: [], mountPoint };
    const container = await agent.create(
      withMounts(spec, { destination: "/memory", source: mountPoint, options: ["rbind"] }),
      "again",
      { storages: [memory] },
    );
    await container.start();
    expect(await container.result()).toEqual({ status: 0, stdout: `pod\n${round}\n`, stderr: "" });
    await container.remove();
  }
  await agent.settled(before);
});
