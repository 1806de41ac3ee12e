import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec, withLinux, withMounts, withProcess } from "./harness/container-spec.ts";

let rootfs: Rootfs;
let agent: TestAgent;
let host: string;

beforeAll(async () => {
  rootfs = busyboxRootfs();
  host = mkdtempSync(join(tmpdir(), "kata-agent-host-"));
  agent = await startAgent();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  rootfs[Symbol.dispose]();
  rmSync(host, { recursive: true, force: true });
});

const sh = (script: string) => containerSpec(rootfs.path, ["sh", "-c", script]);

function hostDirectory(name: string): string {
  const path = join(host, name);
  mkdirSync(path, { recursive: true });
  return path;
}

describe("root", () => {
  test("a container sees its own root and none of the machine's mounts", async () => {
    const { stdout } = await agent.run(sh("ls /; cut -d' ' -f2 /proc/mounts"));
    expect(stdout).toContain("work\n");
    const mounts = stdout.split("\n").filter((line) => line.startsWith("/"));
    expect(mounts.filter((path) => !/^\/($|dev|proc|sys)/.test(path))).toEqual([]);
    expect(mounts.filter((path) => path === "/")).toHaveLength(1);
  });

  test("a read-only root refuses writes while its tmpfs mounts take them", async () => {
    const spec = sh("touch /x 2>/dev/null; echo $?; touch /dev/shm/x; echo $?");
    expect((await agent.run({ ...spec, root: { path: rootfs.path, readonly: true } })).stdout).toBe("1\n0\n");
    expect(existsSync(join(rootfs.path, "x"))).toBe(false);
  });

  test("chroot tricks of a privileged container do not lead out of its root", async () => {
    const spec = withProcess(
      sh(
        "mkdir -p /tmp/jail; cp /bin/busybox /tmp/jail/; cd /; chroot /tmp/jail /busybox sh -c 'cd ../../../../../..; /busybox ls -a .'",
      ),
      {
        capabilities: {
          bounding: ["CAP_SYS_CHROOT"],
          effective: ["CAP_SYS_CHROOT"],
          permitted: ["CAP_SYS_CHROOT"],
        },
      },
    );
    expect((await agent.run(spec)).stdout).toBe(".\n..\nbusybox\n");
  });

  test.each(["/proc/self/fd/7", "/proc/self/fd/3", "/proc/self/fd/8/.."])(
    "a working directory of %s does not lead out of the root (CVE-2024-21626)",
    async (cwd) => {
      const attempt = agent.run(withProcess(sh("pwd; ls"), { cwd }));
      await expect(attempt).rejects.toThrow(/change directory|make directory|open/);
    },
  );
});

describe("mounts", () => {
  test("a bind mount is the host's directory, for reading and writing", async () => {
    const source = hostDirectory("rw");
    writeFileSync(join(source, "in"), "from outside");
    const spec = withMounts(sh("cat /data/in; echo -n from inside > /data/out"), {
      destination: "/data",
      type: "bind",
      source,
      options: ["rbind", "rw"],
    });
    expect((await agent.run(spec)).stdout).toBe("from outside");
    expect(readFileSync(join(source, "out"), "utf8")).toBe("from inside");
  });

  test("a read-only bind mount refuses writes, and the host's directory stays writable", async () => {
    const source = hostDirectory("ro");
    const spec = withMounts(sh("touch /data/x; echo $?"), {
      destination: "/data",
      source,
      options: ["rbind", "ro"],
    });
    const { stdout, stderr } = await agent.run(spec);
    expect(stdout).toBe("1\n");
    expect(stderr).toContain("Read-only file system");
    writeFileSync(join(source, "y"), "");
  });

  test("a file is bound over a file, and a missing target is made as a file", async () => {
    const source = join(host, "a-file");
    writeFileSync(source, "content");
    const spec = withMounts(
      sh("cat /etc/made/file /etc/passwd"),
      { destination: "/etc/made/file", source, options: ["bind"] },
      { destination: "/etc/passwd", source, options: ["bind", "ro"] },
    );
    expect((await agent.run(spec)).stdout).toBe("contentcontent");
    expect(statSync(join(rootfs.path, "etc/made/file")).isFile()).toBe(true);
  });

  test("mount options hold: noexec, nosuid, nodev, size", async () => {
    const spec = withMounts(
      sh("cp /bin/busybox /data/b 2>/dev/null; /data/b true; echo $?; grep ' /data ' /proc/mounts"),
      {
        destination: "/data",
        type: "tmpfs",
        source: "tmpfs",
        options: ["noexec", "nosuid", "nodev", "size=4m", "mode=700"],
      },
    );
    const { stdout } = await agent.run(spec);
    expect(stdout).toMatch(/^126\ntmpfs \/data tmpfs rw,nosuid,nodev,noexec,relatime,size=4096k,mode=700/);
  });

  test("a link in the image as a mount target stays inside of the root (CVE-2021-30465)", async () => {
    const outside = hostDirectory("outside");
    symlinkSync(outside, join(rootfs.path, "work/link"));
    symlinkSync("../../../../../../../../tmp", join(rootfs.path, "work/climb"));
    const spec = withMounts(
      sh("touch /work/link/x /work/climb/y && ls /tmp"),
      { destination: "/work/link/deep", type: "tmpfs", source: "tmpfs", options: [] },
      { destination: "/work/climb/deep", type: "tmpfs", source: "tmpfs", options: [] },
    );
    const { stdout, status } = await agent.run(spec);
    expect(readdirSync(outside)).toEqual([]);
    // The absolute link leads to the same path below the root, where the mount target was made.
    expect(statSync(join(rootfs.path, outside, "x")).isFile()).toBe(true);
    expect([status, stdout.includes("y\n")]).toEqual([0, true]);
  });

  test("procfs refuses to go where a link in the image leads (CVE-2019-19921)", async () => {
    using other = busyboxRootfs();
    rmSync(join(other.path, "proc"), { recursive: true });
    symlinkSync("/work", join(other.path, "proc"));
    await expect(agent.run(containerSpec(other.path, ["true"]))).rejects.toThrow(
      /mount proc at: \/proc.*(ELOOP|ENOTDIR)/,
    );
  });

  test.each(["/proc/self/attr", "/proc/sys", "/proc/1"])(
    "nothing is mounted over %s",
    async (destination) => {
      const spec = withMounts(sh("true"), { destination, type: "tmpfs", source: "tmpfs", options: [] });
      await expect(agent.run(spec)).rejects.toThrow("only a few files");
    },
  );

  test("a file in /proc that tells of the machine may be replaced", async () => {
    const source = join(host, "meminfo");
    writeFileSync(source, "fake\n");
    const spec = withMounts(sh("cat /proc/meminfo"), {
      destination: "/proc/meminfo",
      source,
      options: ["bind"],
    });
    expect((await agent.run(spec)).stdout).toBe("fake\n");
  });

  test.each([
    [
      { destination: "/data", type: "bind", source: "/nosuch-source", options: ["bind"] },
      /mount \/nosuch-source at.*ENOENT/,
    ],
    [{ destination: "/data", type: "nosuchfs", source: "x", options: [] }, /mount nosuchfs at.*ENODEV/],
    [{ destination: "/", type: "tmpfs", source: "x", options: [] }, /below the root/],
    [{ destination: "/data", type: "bind", source: "relative", options: ["bind"] }, /absolute/],
  ])("creating a container with the mount %j fails and leaves nothing", async (mount, message) => {
    const before = agent.state();
    await expect(agent.run(withMounts(sh("true"), mount))).rejects.toThrow(message);
    expect(agent.state()).toEqual(before);
  });
});

describe("/dev", () => {
  test("the default devices and links are there", async () => {
    const { stdout } = await agent.run(
      sh(
        "cd /dev; for n in null zero full random urandom tty; do stat -c '%n %t:%T %a' $n; done; for l in fd stdin stdout stderr ptmx; do readlink $l; done; echo x > null; head -c 2 zero | wc -c",
      ),
    );
    expect(stdout).toBe(
      "null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666\n" +
        "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n2\n",
    );
  });

  test("a device of the spec is made with its mode and owner", async () => {
    const spec = withLinux(sh("stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/sub/pipe"), {
      devices: [
        { path: "/dev/mine", type: "c", major: 1, minor: 3, fileMode: 0o640, uid: 5, gid: 6 },
        { path: "/dev/sub/pipe", type: "p", fileMode: 0o600 },
      ],
    });
    expect((await agent.run(spec)).stdout).toBe("character special file 1:3 640 5:6\nfifo 0:0 600 0:0\n");
  });

  test("a device that nobody allowed cannot be opened (CVE-2020-2023)", async () => {
    const { stdout, stderr } = await agent.run(sh("mknod /tmp/disk b 254 0; head -c 1 /tmp/disk; echo $?"));
    expect(stdout).toBe("1\n");
    expect(stderr).toMatch(/Operation not permitted/);
    rmSync(join(rootfs.path, "tmp/disk"), { force: true });
  });
});

describe("kernel files", () => {
  test("masked paths are empty and read-only paths refuse writes", async () => {
    const script =
      "cat /proc/timer_list | wc -c; ls /proc/scsi /sys/firmware | grep -v : | wc -w; echo 1 > /proc/sys/kernel/domainname; echo $?; touch /sys/firmware/x; echo $?";
    const { stdout } = await agent.run(sh(script));
    expect(stdout).toBe("0\n0\n1\n1\n");
  });

  test("sysctls of own namespaces are set, and others are refused", async () => {
    const spec = withLinux(sh("cat /proc/sys/kernel/shmmax /proc/sys/kernel/domainname"), {
      sysctl: { "kernel.shmmax": "123456", "kernel.domainname": "example.org" },
    });
    expect((await agent.run(spec)).stdout).toBe("123456\nexample.org\n");
    const before = readFileSync("/proc/sys/vm/swappiness", "utf8");
    await expect(agent.run(withLinux(sh("true"), { sysctl: { "vm.swappiness": "1" } }))).rejects.toThrow(
      "vm.swappiness",
    );
    expect(readFileSync("/proc/sys/vm/swappiness", "utf8")).toBe(before);
  });

  test("the host name is the container's own", async () => {
    const before = readFileSync("/proc/sys/kernel/hostname", "utf8");
    expect((await agent.run(sh("hostname"))).stdout).toBe("box\n");
    expect(readFileSync("/proc/sys/kernel/hostname", "utf8")).toBe(before);
  });
});
