/**
 * The classes of flaws that runtimes of containers have had: each test tries the attack with a hostile image or workload and
 * looks that it was refused or led nowhere, and that nothing outside of the container was touched.
 * Sources: the CVE records, runc's changelog.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AGENT_BINARY, startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { CAPABILITIES, containerSpec, withLinux, withMounts, withProcess } from "./harness/container-spec.ts";
import { linkInImage } from "./harness/hostile-image.ts";

let rootfs: Rootfs;
let agent: TestAgent;
/** A directory outside of every container; a test that finds something in it has found a way out. */
let outside: string;

beforeAll(async () => {
  agent = await startAgent();
});
afterAll(() => agent[Symbol.asyncDispose]());
beforeEach(() => {
  rootfs = busyboxRootfs();
  outside = mkdtempSync(join(tmpdir(), "kata-outside-"));
});
afterEach(() => {
  rootfs[Symbol.dispose]();
  rmSync(outside, { recursive: true, force: true });
});

const sh = (script: string) => containerSpec(rootfs.path, ["sh", "-c", script]);
const bind = (source: string, destination: string) => ({ destination, source, options: ["rbind"] });

describe("the runtime's own program", () => {
  const digest = () => createHash("sha256").update(readFileSync(AGENT_BINARY)).digest("hex");

  test("an exec of /proc/self/exe cannot be used to write the agent's program (CVE-2019-5736)", async () => {
    const before = digest();
    writeFileSync(join(rootfs.path, "bin/trap"), "#!/proc/self/exe\n", { mode: 0o755 });
    // Holds every program that passes by in its process tree, and writes to it as soon as nobody runs it.
    const attack = `
      echo ready
      while :; do
        for p in /proc/[0-9]*; do
          case $(readlink $p/exe) in */kata-agent*) ;; *) continue ;; esac
          (
            exec 9<$p/exe
            echo caught
            while [ -e $p ]; do (echo owned > /proc/self/fd/9) && echo written; done
            (echo owned >> /proc/self/fd/9) && echo written
          )
        done 2>/dev/null
      done`;
    const capabilities = [...CAPABILITIES, "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"];
    const all = { bounding: capabilities, effective: capabilities, permitted: capabilities };
    await using container = await agent.create(withProcess(sh(attack), { capabilities: all }));
    await container.start();
    await container.readUntil("stdout", "ready");
    for (let round = 0; round < 20; round++) {
      // The agent, run in the container, has nothing to do and ends.
      const { status } = await container.exec(`trap-${round}`, ["/bin/trap", "x"], { capabilities: all });
      expect(status).not.toBe(0);
    }
    await container.signal(9);
    // The kernel writes to no program that runs (ETXTBSY), and the agent does as long as the machine.
    expect((await container.result()).stdout).not.toContain("written");
    expect(digest()).toBe(before);
  });

  test("the agent's program cannot be written through a link that outlives it (CVE-2019-5736)", async () => {
    await using other = await startAgent();
    const link = `/proc/${other.pid}/exe`;
    // What a container that had got hold of it could do, here with all rights of the machine.
    expect(() => writeFileSync(link, "owned")).toThrow(/ETXTBSY|EROFS/);
  });

  test("a process on its way into the container cannot be looked into (CVE-2016-9962)", async () => {
    const look = `
      echo ready
      while :; do
        for p in /proc/[0-9]*; do
          for fd in $p/fd/*; do case $(readlink $fd) in *ns:*|*agent.sock*|/run/*) echo leaked ;; esac; done
          if [ -n "$(readlink $p/root)" ] && [ $(stat -Lc %d:%i $p/root/.) != $(stat -Lc %d:%i /.) ]; then echo foreign; fi
        done 2>/dev/null
      done`;
    await using container = await agent.create(sh(look));
    await container.start();
    await container.readUntil("stdout", "ready");
    for (let round = 0; round < 20; round++) await container.exec(`e-${round}`, ["true"]);
    await container.signal(9);
    expect((await container.result()).stdout).toBe("");
  });
});

describe("descriptors and working directories", () => {
  const descriptors = Array.from({ length: 20 }, (_, fd) => `/proc/self/fd/${fd}`);

  test("no descriptor leads out of the container as a working directory (CVE-2024-21626)", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    for (const [index, cwd] of descriptors.entries()) {
      const script = ["sh", "-c", "cd ../../../../..; ls bin work >/dev/null && echo inside"];
      const created = agent.run(withProcess(containerSpec(rootfs.path, script), { cwd }));
      const joined = container.exec(`e-${index}`, script, { cwd });
      for (const attempt of await Promise.allSettled([created, joined])) {
        if (attempt.status === "fulfilled") expect(attempt.value.stdout).toBe("inside\n");
      }
    }
  });

  test("a link of the image to a descriptor is no way out either (CVE-2024-21626)", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    for (let fd = 3; fd < 20; fd++) {
      linkInImage(rootfs, "work/cwd", `/proc/self/fd/${fd}/../../..`);
      const attempt = withProcess(sh("ls /work > /dev/null && ls bin/busybox"), { cwd: "/work/cwd" });
      await expect(agent.run(attempt)).rejects.toThrow();
      await expect(container.exec(`e-${fd}`, ["true"], { cwd: "/work/cwd" })).rejects.toThrow();
    }
  });

  test("a program begins with descriptors 0, 1 and 2 alone, by whatever way it begins (CVE-2024-21626)", async () => {
    const list = [
      "sh",
      "-c",
      "for fd in /proc/$$/fd/*; do [ -L $fd ] && echo -n $(basename $fd); done; exit 0",
    ];
    const fds = (text: string) => text.replace(/10$/, "");
    expect(fds((await agent.run(containerSpec(rootfs.path, list))).stdout)).toBe("012");
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    expect(fds((await container.exec("e", list)).stdout)).toBe("012");
    expect(fds((await container.exec("t", list, { terminal: true })).stdout)).toBe("012");
  });
});

describe("capabilities, devices and cgroups", () => {
  test("no process has inheritable capabilities that the spec does not give (CVE-2022-29162)", async () => {
    await using container = await agent.create(sh("grep CapInh /proc/self/status; exec sleep 1000"));
    await container.start();
    await container.readUntil("stdout", "CapInh:\t0000000000000000\n");
    const given = { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES };
    for (const uid of [0, 1000]) {
      const { stdout } = await container.exec(`e-${uid}`, ["grep", "CapInh", "/proc/self/status"], {
        user: { uid, gid: uid },
        capabilities: given,
      });
      expect(stdout).toBe("CapInh:\t0000000000000000\n");
    }
  });

  test("no disk of the machine can be opened through a node of one's own (CVE-2020-2023, CVE-2026-24834)", async () => {
    const disks = readFileSync("/proc/partitions", "utf8")
      .split("\n")
      .flatMap((line) => /^\s*(\d+)\s+(\d+)\s/.exec(line)?.slice(1, 3).join(" ") ?? []);
    const devices = [...disks, "8 0", "253 0", "254 0", "259 0"];
    const script = [
      ...devices.map((number) => `mknod /tmp/d b ${number} && head -c 1 /tmp/d; rm /tmp/d`),
      ...devices.map((number) => `mknod /tmp/d b ${number} && echo x > /tmp/d; rm /tmp/d`),
      // Memory, ports, the kernel's log, every input; and the controls of loop devices and of the device mapper.
      ...["1 1", "1 2", "1 4", "1 11", "13 63", "10 237", "10 236", "10 229"].map(
        (number) => `mknod /tmp/c c ${number} && head -c 1 /tmp/c; rm /tmp/c`,
      ),
    ].map((line) => `(${line}) 2>&1 | grep -v 'Operation not permitted'`);
    const spec = sh(`${script.join("; ")}; echo done`);
    expect((await agent.run(spec)).stdout).toBe("done\n");
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    const { stdout } = await container.exec("e", ["sh", "-c", `${script.join("; ")}; echo done`]);
    expect(stdout).toBe("done\n");
  });

  test("a container sees and changes no cgroup but its own (CVE-2022-0492, CVE-2023-25809)", async () => {
    const script = `
      cd /sys/fs/cgroup
      mkdir made memory/made 2>/dev/null && echo made
      find . -name release_agent
      find . -name notify_on_release | head -1 | while read f; do (echo 1 > $f) 2>/dev/null && echo wrote; done
      for f in cgroup.procs memory/cgroup.procs; do (echo $$ > $f) 2>/dev/null && echo moved; done
      mount -t cgroup -o memory none /work 2>/dev/null && echo mounted
      mount -o remount,rw . 2>/dev/null && echo remounted
      find . -type d | grep -c agent
      echo done`;
    const spec = withMounts(sh(script), {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: ["ro", "nosuid", "noexec", "nodev", "relatime"],
    });
    expect((await agent.run(spec)).stdout).toBe("0\ndone\n");
    const own = { namespaces: [...(spec.linux?.namespaces ?? []), { type: "cgroup" as const }] };
    expect((await agent.run(withLinux(spec, own))).stdout).toBe("0\ndone\n");
  });

  test("an id map that is too long for the kernel is refused, and runs nothing unmapped (CVE-2021-43784)", async () => {
    const mappings = Array.from({ length: 20_000 }, (_, id) => ({
      containerID: id,
      hostID: id + 1,
      size: 1,
    }));
    const spec = withLinux(sh("touch /ran"), {
      namespaces: [{ type: "user" }, { type: "pid" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }],
      uidMappings: mappings,
      gidMappings: mappings,
    });
    await expect(agent.run(spec)).rejects.toThrow(/uid_map|id maps/);
    expect(existsSync(join(rootfs.path, "ran"))).toBe(false);
  });
});

describe("storages and copied files", () => {
  const SHARED = "/run/kata-containers/shared/containers";

  test("a part of a volume is looked for in the volume alone, whatever links are in it (CVE-2021-25741)", async () => {
    const volume = join(outside, "volume");
    mkdirSync(join(volume, "real"), { recursive: true, mode: 0o777 });
    chmodSync(volume, 0o777);
    symlinkSync("/etc", join(volume, "absolute"));
    symlinkSync("../../..", join(volume, "relative"));
    writeFileSync(join(volume, "real/file"), "inside\n");
    const part = (path: string, index: number) => ({
      driver: "bind",
      source: volume,
      fstype: "bind",
      options: ["bind", `X-kata.sub-path=${path}`],
      mountPoint: join(outside, `part${index}`),
    });
    const show = async (path: string, index: number) => {
      const storage = part(path, index);
      const spec = withMounts(sh("ls -a /part; stat -c %a /part"), {
        destination: "/part",
        source: storage.mountPoint,
        options: ["rbind"],
      });
      await using container = await agent.create(spec, undefined, { storages: [storage] });
      await container.start();
      return (await container.result()).stdout.split("\n").filter((line) => !/^\.*$/.test(line));
    };
    expect(await show("real", 1)).toEqual(["file", "755"]);
    // What is missing is made, as the volume itself is.
    expect(await show("new/deep", 2)).toEqual(["777"]);
    // Below the volume these lead to nothing, or to the volume itself.
    expect(await show("relative", 3)).toEqual(["absolute", "new", "real", "relative", "777"]);
    for (const path of ["absolute", "absolute/made"]) {
      await expect(show(path, 4)).rejects.toThrow(/E(NOTDIR|LOOP|XDEV)/);
    }
    await expect(show("../x", 5)).rejects.toMatchObject({ code: "invalid-argument" });
    expect(existsSync("/etc/made")).toBe(false);
  });

  test("unmounting follows no link that has taken a mount point's place (CVE-2020-2024)", async () => {
    const directory = join(outside, "mounts");
    const [first, second] = [join(directory, "first"), join(directory, "second")];
    const tmpfs = (mountPoint: string) => ({
      driver: "ephemeral",
      source: "tmpfs",
      fstype: "tmpfs",
      options: [],
      mountPoint,
    });
    await using keeper = await agent.create(sh("exec sleep 1000"), undefined, { storages: [tmpfs(second)] });
    const victim = await agent.create(sh("exec sleep 1000"), undefined, { storages: [tmpfs(first)] });
    await keeper.start();
    // Seen from here nothing is mounted there, so the directory can be taken away.
    renameSync(first, `${first}-gone`);
    symlinkSync(second, first);
    await victim.signal(9);
    await victim.remove();
    expect(agent.state().mounts).toContain(second);
    rmSync(first);
    rmdirSync(`${first}-gone`);
  });

  test("a copied file goes through no link, wherever in its path it is and whenever it came there (CVE-2026-41326)", async () => {
    const name = `cve-${process.pid}`;
    const volume = join(SHARED, name);
    const chunk = (path: string, data: string, more: object = {}) => ({
      path: join(volume, path),
      fileSize: data.length,
      fileMode: 0o100644,
      dirMode: 0o755,
      uid: 0,
      gid: 0,
      offset: 0,
      data: Buffer.from(data),
      ...more,
    });
    try {
      await agent.copyFile(chunk("a/b/file", "first ", { fileSize: 12 }));
      // Between two chunks the container, which may write to the volume, puts links everywhere.
      const script = `cd /data/a; mv b c; ln -s ${outside} b; ln -s ${outside}/owned c/file; ln -s /proc/self/cwd d; rm c/file.tmp; ln -s ${outside}/owned c/file.tmp`;
      expect(await agent.run(withMounts(sh(script), bind(volume, "/data")))).toMatchObject({ status: 0 });
      const attempts = ["a/b/file", "a/c/file", "a/d/file", "a/b/new/file"].map((path) =>
        agent.copyFile(chunk(path, "second", { fileSize: 12, offset: 6 })),
      );
      for (const attempt of attempts) await expect(attempt).rejects.toThrow(/ELOOP|ENOTDIR/);
      await expect(agent.copyFile(chunk("a/b/dir", "", { fileMode: 0o040755 }))).rejects.toThrow(
        /ELOOP|ENOTDIR/,
      );
      for (const target of [
        "/etc",
        "../../../../etc",
        `${SHARED}/../../../etc`,
        "x/../../../../../../../../etc",
      ]) {
        await expect(agent.copyFile(chunk("l", target, { fileMode: 0o120777 })), target).rejects.toThrow(
          "leads out of",
        );
      }
      expect(readdirSync(outside)).toEqual([]);
    } finally {
      rmSync(volume, { recursive: true, force: true });
    }
  });

  test("a read-only volume cannot be made writable from inside (CVE-2020-28914)", async () => {
    writeFileSync(join(outside, "file"), "untouched");
    const spec = withMounts(sh("mount -o remount,bind,rw /data; echo owned > /data/file; cat /data/file"), {
      destination: "/data",
      source: outside,
      options: ["rbind", "ro"],
    });
    expect((await agent.run(spec)).stdout).toBe("untouched");
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("untouched");
  });
});
