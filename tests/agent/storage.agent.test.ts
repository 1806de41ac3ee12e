/** Volumes that the agent provides beyond plain mounts: those that follow the host's changes, grow, or are of huge pages. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../harness/eventually.ts";
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
const bind = (source: string, destination: string) => ({ destination, source, options: ["rbind", "ro"] });

describe("a watchable volume", () => {
  /** How soon a change has to arrive, ms. */
  const SOON_MS = 2000;
  const watchable = (source: string, mountPoint: string, more: object = {}) => ({
    driver: "watchable-bind",
    source,
    fstype: "bind",
    options: ["rbind", "rprivate", "ro"],
    mountPoint,
    ...more,
  });

  /** Writes `files` as the kubelet does: a directory of its own, then one link is exchanged, then the old one goes. */
  function publish(volume: string, generation: number, files: Readonly<Record<string, string>>): void {
    const directory = `..2026_${generation}`;
    mkdirSync(join(volume, directory), { recursive: true });
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(volume, directory, name), content);
      if (!existsSync(join(volume, name)) && generation === 1)
        symlinkSync(`..data/${name}`, join(volume, name));
    }
    symlinkSync(directory, join(volume, "..data_tmp"));
    renameSync(join(volume, "..data_tmp"), join(volume, "..data"));
    rmSync(join(volume, `..2026_${generation - 1}`), { recursive: true, force: true });
  }

  test("a change arrives within 2 s, whole, and in order", async () => {
    const volume = join(host, "configmap");
    const mountPoint = join(host, "copy");
    const generation = (number: number) => ({
      a: `${number}`,
      b: `${number}`,
      big: `${number}`.repeat(200_000),
    });
    publish(volume, 1, generation(1));
    // Reads both files over one open directory again and again: all that it sees has to be of one generation.
    const script = `
      last=0
      while :; do
        dir=$(readlink /data/..data); a=$(cat /data/$dir/a) b=$(cat /data/$dir/b) size=$(cat /data/$dir/big | wc -c)
        [ -z "$a" ] && continue
        [ -d /data/$dir ] || continue
        [ "$a" = "$b" ] || echo torn $a $b
        [ $size -ge 200000 ] || echo short $size
        [ $a -ge $last ] || echo back $last $a
        [ $a = $last ] || echo seen $a
        last=$a
      done 2>/dev/null`;
    const spec = withMounts(sh(script), bind(mountPoint, "/data"));
    await using container = await agent.create(spec, undefined, {
      storages: [watchable(volume, mountPoint)],
    });
    await container.start();
    await container.readUntil("stdout", "seen 1\n");
    for (let number = 2; number <= 5; number++) {
      publish(volume, number, generation(number));
      const before = Date.now();
      const output = (await container.readUntil("stdout", `seen ${number}\n`)).toString();
      expect(Date.now() - before).toBeLessThan(SOON_MS);
      expect(output).toBe(`seen ${number}\n`);
    }
  });

  test("it has no limits of size or number, and keeps modes and links", async () => {
    const volume = join(host, "secret");
    const mountPoint = join(host, "copy");
    mkdirSync(join(volume, "deep/er"), { recursive: true });
    for (let number = 0; number < 500; number++) writeFileSync(join(volume, `deep/f${number}`), `${number}`);
    writeFileSync(join(volume, "deep/er/big"), Buffer.alloc(8 << 20, 7), { mode: 0o640 });
    symlinkSync("deep/er/big", join(volume, "link"));
    const script =
      "ls /data/deep | wc -l; stat -Lc '%s %a' /data/link; readlink /data/link; cat /data/deep/f499; touch /data/x || echo; grep -c '/data tmpfs ro' /proc/mounts";
    const spec = withMounts(sh(script), bind(mountPoint, "/data"));
    await using container = await agent.create(spec, undefined, {
      storages: [watchable(volume, mountPoint)],
    });
    await container.start();
    expect((await container.result()).stdout).toBe("501\n8388608 640\ndeep/er/big\n499\n1\n");
  });

  test("a program that watches hears of a change; what goes, what comes and what changes its kind follows", async () => {
    const volume = join(host, "plain");
    const mountPoint = join(host, "copy");
    mkdirSync(join(volume, "dir"), { recursive: true });
    writeFileSync(join(volume, "gone"), "x");
    writeFileSync(join(volume, "dir/changed"), "before");
    writeFileSync(join(volume, "kind"), "file");
    const spec = withMounts(sh("exec sleep 1000"), bind(mountPoint, "/data"));
    await using container = await agent.create(spec, undefined, {
      storages: [watchable(volume, mountPoint)],
    });
    await container.start();
    // The agent's mounts are in a namespace of its own.
    const heard = new Set<string>();
    const watcher = watch(`/proc/${agent.pid}/root${mountPoint}`, (_event, name) => heard.add(String(name)));
    rmSync(join(volume, "gone"));
    writeFileSync(join(volume, "dir/changed"), "after");
    writeFileSync(join(volume, "new"), "new");
    rmSync(join(volume, "kind"));
    mkdirSync(join(volume, "kind"));
    writeFileSync(join(volume, "kind/inner"), "inner");
    await eventually("the copy has changed", SOON_MS, () =>
      ["gone", "new", "kind"].every((name) => heard.has(name)) ? true : undefined,
    ).finally(() => watcher.close());
    const look = ["sh", "-c", "cd /data; find . | sort | tr '\\n' ' '; cat dir/changed new kind/inner"];
    expect((await container.exec("look", look)).stdout).toBe(
      ". ./dir ./dir/changed ./kind ./kind/inner ./new afternewinner",
    );
  });

  test("a single file follows, too", async () => {
    const source = join(host, "file");
    const mountPoint = join(host, "copy/file");
    writeFileSync(source, "first");
    const spec = withMounts(sh("exec sleep 1000"), bind(mountPoint, "/etc/motd"));
    await using container = await agent.create(spec, undefined, {
      storages: [watchable(source, mountPoint)],
    });
    await container.start();
    const content = async (id: string) => (await container.exec(id, ["cat", "/etc/motd"])).stdout;
    expect(await content("first")).toBe("first");
    writeFileSync(`${source}.new`, "second and longer");
    renameSync(`${source}.new`, source);
    let attempt = 0;
    await eventually("the file is the new one", SOON_MS, async () =>
      (await content(`e-${attempt++}`)) === "second and longer" ? true : undefined,
    );
  });

  test("a link in the source is not followed out of it", async () => {
    const volume = join(host, "evil");
    const mountPoint = join(host, "copy");
    mkdirSync(volume);
    symlinkSync("/etc", join(volume, "etc"));
    symlinkSync("/etc/shadow", join(volume, "shadow"));
    const script = "readlink /data/shadow; cat /data/shadow 2>&1 | wc -l; ls /data/etc/passwd";
    const spec = withMounts(sh(script), bind(mountPoint, "/data"));
    await using container = await agent.create(spec, undefined, {
      storages: [watchable(volume, mountPoint)],
    });
    await container.start();
    // In the container the link leads to its own /etc.
    expect((await container.result()).stdout).toBe("/etc/shadow\n1\n/data/etc/passwd\n");
  });

  test("nothing is left of it when its container is removed, and the source may vanish before", async () => {
    const volume = join(host, "gone");
    const mountPoint = join(host, "copy");
    publish(volume, 1, { a: "1" });
    const before = agent.state();
    const container = await agent.create(sh("exec sleep 1000"), undefined, {
      storages: [watchable(volume, mountPoint)],
    });
    rmSync(volume, { recursive: true });
    await container.signal(9);
    await container.remove();
    await agent.settled(before);
  });

  test("a source that is not there is refused", async () => {
    const before = agent.state();
    const attempt = agent.create(sh("true"), undefined, {
      storages: [watchable("/no/such", join(host, "c"))],
    });
    await expect(attempt).rejects.toThrow("ENOENT");
    expect(agent.state()).toEqual(before);
  });
});

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
    await expect(agent.resizeVolume(mountPoint, 4 << 20)).rejects.toMatchObject({ code: "out-of-range" });
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
