import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
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
const _MAY_RESIZE = ((BigInt(`0x${CAPABILITIES}`) >> 24n) & 1n) === 1n;

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
        # Its files go one by one once another generation has taken its place.
        [ "$(readlink /data/..data)" = "$dir" ] || continue
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
