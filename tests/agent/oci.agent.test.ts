/** Fields of the runtime specification whose effect a program can see. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Hook, LinuxIdMapping, Spec } from "../../src/oci/types.ts";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec, withLinux, withMounts, withProcess } from "./harness/container-spec.ts";

let rootfs: Rootfs;
let agent: TestAgent;
let host: string;

beforeAll(async () => {
  rootfs = busyboxRootfs();
  agent = await startAgent();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  rootfs[Symbol.dispose]();
});
beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), "kata-agent-oci-"));
  chmodSync(host, 0o755);
});
afterEach(() => rmSync(host, { recursive: true, force: true }));

const sh = (script: string) => containerSpec(rootfs.path, ["sh", "-c", script]);

describe("user namespaces", () => {
  const MAPPINGS: readonly LinuxIdMapping[] = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

  /** `spec` in a user namespace of its own. */
  function inUserNamespace(spec: Spec, mappings = MAPPINGS): Spec {
    return withLinux(spec, {
      namespaces: [...(spec.linux?.namespaces ?? []), { type: "user" }],
      uidMappings: mappings,
      gidMappings: mappings,
    });
  }

  test("root of a container is nobody on the machine, and has the container's mounts and devices", async () => {
    const script =
      "cat /proc/self/uid_map; id -u; echo out > /dev/stdout; touch /dev/shm/x && stat -c %u /dev/shm/x; head -c 1 /dev/zero | wc -c; ls /sys/class > /dev/null && grep -c ' /dev/mqueue ' /proc/mounts; exec sleep 1000";
    await using container = await agent.create(inUserNamespace(sh(script)));
    await container.start();
    const output = (await container.readUntil("stdout", "\n1\n1\n")).toString();
    expect(output.replace(/ +/g, " ")).toBe(" 0 100000 65536\n0\nout\n0\n1\n1\n");
    const [pid] = container.processes();
    expect(readFileSync(`/proc/${pid}/status`, "utf8")).toContain("Uid:\t100000\t100000\t100000\t100000");
    // The machine's files are out of its reach, root or not.
    const { stdout } = await container.exec("e", ["sh", "-c", "id -u; echo x > /etc/passwd; echo $?"]);
    expect(stdout).toBe("0\n1\n");
    const terminal = await container.exec("t", ["sh", "-c", "tty; stat -c %u $(tty)"], { terminal: true });
    expect(terminal.stdout.replaceAll("\r", "")).toMatch(/^\/dev\/pts\/\d+\n0\n$/);
  });

  test("a user of a container can open its output again", async () => {
    const spec = withProcess(inUserNamespace(sh("id -u; echo again > /dev/stdout")), {
      user: { uid: 1000, gid: 1000 },
      capabilities: {},
    });
    expect((await agent.run(spec)).stdout).toBe("1000\nagain\n");
  });

  test("a container in a user namespace shares the pod's other namespaces", async () => {
    await using pod = await startAgent();
    await pod.createSandbox({ hostname: "pod-name" });
    const { stdout } = await pod.run(
      inUserNamespace(sh("hostname; ls -d /dev/mqueue /sys/class/net; grep -c mqueue /proc/mounts")),
    );
    expect(stdout).toBe("pod-name\n/dev/mqueue\n/sys/class/net\n1\n");
  });

  test.each([[[]], [[{ containerID: 0, hostID: 0, size: 0 }]]])(
    "a user namespace with the maps %j is refused, and nothing is left",
    async (mappings) => {
      const before = agent.state();
      await expect(agent.run(inUserNamespace(sh("true"), mappings))).rejects.toThrow(
        /uid_map|needs uidMappings/,
      );
      expect(agent.state()).toEqual(before);
    },
  );

  test("an id-mapped mount shows a volume's files as the container's own, and its files as the volume's", async () => {
    writeFileSync(join(host, "of-root"), "content", { mode: 0o600 });
    const volume = (...options: string[]) => ({
      destination: "/data",
      source: host,
      options: ["rbind", ...options],
    });
    const script =
      "stat -c %u /data/of-root; cat /data/of-root; echo; touch /data/made; stat -c %u /data/made";
    const plain = await agent.run(inUserNamespace(withMounts(sh(script), volume())));
    expect(plain.stdout).toBe("65534\n\n");
    for (const option of ["idmap", "ridmap"]) {
      const mapped = await agent.run(inUserNamespace(withMounts(sh(script), volume(option))));
      expect(mapped).toEqual({ status: 0, stdout: "0\ncontent\n0\n", stderr: "" });
      expect(statSync(join(host, "made")).uid).toBe(0);
      rmSync(join(host, "made"));
    }
  });

  test("an id-mapped mount has maps of its own, also without a user namespace", async () => {
    writeFileSync(join(host, "file"), "");
    const own = [{ containerID: 0, hostID: 500, size: 10 }];
    const mount = {
      destination: "/data",
      source: host,
      options: ["bind"],
      uidMappings: own,
      gidMappings: own,
    };
    const before = agent.state().descriptors;
    const spec = withMounts(sh("stat -c '%u %g' /data/file; touch /data/new"), mount);
    // The volume's 0 is 500 here; the container's own 0 is nobody of the volume's.
    expect(await agent.run(spec)).toMatchObject({
      stdout: "500 500\n",
      stderr: expect.stringContaining("/data/new"),
    });
    expect(agent.state().descriptors).toEqual(before);
  });

  test.each([
    [{ options: ["bind", "idmap"] }, "neither the mount nor the container has id maps"],
    [{ options: ["bind"], uidMappings: MAPPINGS }, "uidMappings and gidMappings, or none"],
  ])("an id-mapped mount with %j is refused", async (mount, message) => {
    const spec = withMounts(sh("true"), { destination: "/data", source: host, ...mount });
    await expect(agent.run(spec)).rejects.toThrow(message);
  });
});

describe("mount options", () => {
  const storage = (mountPoint: string) => ({
    driver: "ephemeral",
    source: "tmpfs",
    fstype: "tmpfs",
    options: [],
    mountPoint,
  });

  test.each([
    [["rbind", "ro"], "1 0"],
    [["rbind", "rro"], "1 1"],
    [["rbind", "rro", "rrw"], "0 0"],
    [["bind"], "0 0"],
  ])(
    "of a tree that is mounted with %j the top and what is below it refuse writes: %s",
    async (options, expected) => {
      const inner = join(host, "inner");
      mkdirSync(inner);
      const spec = withMounts(sh("touch /data/x; a=$?; touch /data/inner/x; echo $a $?"), {
        destination: "/data",
        source: host,
        options,
      });
      await using container = await agent.create(spec, undefined, { storages: [storage(inner)] });
      await container.start();
      expect((await container.result()).stdout).toBe(`${expected}\n`);
    },
  );

  test("recursive options reach every mount of a tree", async () => {
    const inner = join(host, "inner");
    mkdirSync(inner);
    const spec = withMounts(sh("grep /data /proc/mounts | cut -d' ' -f2,4 | cut -d, -f1-5"), {
      destination: "/data",
      source: host,
      options: ["rbind", "rnosuid", "rnodev", "rnoexec", "rnoatime"],
    });
    await using container = await agent.create(spec, undefined, { storages: [storage(inner)] });
    await container.start();
    const lines = (await container.result()).stdout.trim().split("\n");
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toMatch(/^\/data(\/inner)? rw,nosuid,nodev,noexec,noatime$/);
  });

  test.each([
    ["rslave", true],
    ["rshared", true],
    ["rprivate", false],
    ["runbindable", false],
  ])("with %s a mount that is made later shows itself: %s", async (propagation, seen) => {
    const source = join(host, "source");
    const shared = join(host, "shared");
    mkdirSync(join(source, "sub"), { recursive: true });
    const bound = {
      driver: "bind",
      source,
      fstype: "bind",
      options: ["rbind", "rshared"],
      mountPoint: shared,
    };
    const spec = withMounts(sh("echo ready; read x; grep -c ' /data/sub ' /proc/mounts"), {
      destination: "/data",
      source: shared,
      options: ["rbind", propagation],
    });
    await using container = await agent.create(spec, undefined, { storages: [bound] });
    await container.start();
    await container.readUntil("stdout", "ready\n");
    await using later = await agent.create(sh("exec sleep 1000"), undefined, {
      storages: [storage(join(shared, "sub"))],
    });
    await later.start();
    await container.writeStdin(Buffer.from("go\n"));
    expect((await container.result()).stdout).toBe(seen ? "1\n" : "0\n");
  });

  test.each([
    ["shared", /shared:/],
    ["rshared", /shared:/],
    ["private", /^[^:]*$/],
    ["unbindable", /unbindable/],
    [undefined, /^[^:]*$|master:/],
  ])("the root's propagation is %s", async (rootfsPropagation, optional) => {
    const spec = withLinux(
      sh("grep ' / / \\| / rw' /proc/self/mountinfo | head -1; cat /proc/self/mountinfo"),
      {
        ...(rootfsPropagation === undefined ? {} : { rootfsPropagation }),
      },
    );
    const { stdout } = await agent.run(spec);
    const root = stdout.split("\n").find((line) => line.split(" ")[4] === "/") ?? "";
    const fields = root.split(" ").slice(6);
    expect(fields.slice(0, fields.indexOf("-")).join(" ")).toMatch(optional);
  });

  test("an unknown propagation of the root is refused", async () => {
    await expect(agent.run(withLinux(sh("true"), { rootfsPropagation: "sideways" }))).rejects.toThrow(
      "expected shared, slave, private, unbindable or one with a leading r",
    );
  });
});

describe("hooks", () => {
  const log = () => join(host, "log");
  const lines = () => (existsSync(log()) ? readFileSync(log(), "utf8").trim().split("\n") : []);
  /** Writes its name and the state that it was given. */
  const hook = (name: string, more: Partial<Hook> = {}): Hook => ({
    path: "/bin/sh",
    args: ["sh", "-c", `echo ${name} $(cat) >> "$LOG"`],
    env: ["PATH=/bin:/usr/bin", `LOG=${log()}`],
    ...more,
  });
  const failing = (script: string, more: Partial<Hook> = {}): Hook => ({
    path: "/bin/sh",
    args: ["sh", "-c", script],
    env: ["PATH=/bin:/usr/bin"],
    ...more,
  });

  test("hooks run in the specification's order with the container's state on stdin", async () => {
    const spec = withMounts(
      {
        ...sh("echo program >> /data/log; exec sleep 1000"),
        annotations: { key: "value" },
        hooks: {
          prestart: [hook("prestart"), hook("prestart-2")],
          createRuntime: [hook("createRuntime")],
          createContainer: [hook("createContainer")],
          startContainer: [hook("startContainer", { env: ["PATH=/bin", "LOG=/data/log"] })],
          poststart: [hook("poststart")],
          poststop: [hook("poststop")],
        },
      },
      { destination: "/data", source: host, options: ["bind"] },
    );
    const container = await agent.create(spec, "hooked");
    const [pid] = container.processes();
    const names = () => lines().map((line) => line.split(" ")[0]);
    expect(names()).toEqual(["prestart", "prestart-2", "createRuntime", "createContainer"]);
    await container.start();
    await container.signal(9);
    await container.remove();
    const run = names();
    expect(run.filter((name) => name !== "program")).toEqual([
      "prestart",
      "prestart-2",
      "createRuntime",
      "createContainer",
      "startContainer",
      "poststart",
      "poststop",
    ]);
    const states = lines().flatMap((line) => {
      const [name, text] = line.split(/ (.*)/);
      return text === undefined ? [] : [[name, JSON.parse(text)]];
    });
    const state = (status: string, more: object) => ({
      ociVersion: "1.1.0",
      id: "hooked",
      status,
      ...more,
      bundle: "/run/kata-containers/hooked",
      annotations: { key: "value" },
    });
    expect(Object.fromEntries(states)).toEqual({
      prestart: state("creating", { pid }),
      "prestart-2": state("creating", { pid }),
      createRuntime: state("creating", { pid }),
      createContainer: state("creating", { pid }),
      startContainer: state("created", { pid }),
      poststart: state("running", { pid }),
      poststop: state("stopped", {}),
    });
    expect(existsSync("/run/kata-containers/hooked")).toBe(false);
  });

  test("a hook finds the container's mounts through its pid, and its spec in the bundle", async () => {
    const script = `bundle=$(sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/'); cp $bundle/config.json ${host}/config`;
    const inside = `readlink /proc/self/ns/mnt > ${host}/mnt; readlink /proc/self/ns/pid >> ${host}/mnt; test -e /etc/debian_version`;
    const spec: Spec = {
      ...withProcess(sh("true"), { rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 4096 }] }),
      hooks: { createRuntime: [failing(script)], createContainer: [failing(inside)] },
    };
    expect((await agent.run(spec)).status).toBe(0);
    expect(JSON.parse(readFileSync(join(host, "config"), "utf8"))).toMatchObject({
      root: { path: rootfs.path },
      process: { args: ["sh", "-c", "true"] },
    });
    const [mount, pid] = readFileSync(join(host, "mnt"), "utf8").split("\n");
    // createContainer runs in the container's namespaces.
    expect(mount).toMatch(/^mnt:\[\d+\]$/);
    expect(mount).not.toBe(readlinkSync(`/proc/${agent.pid}/ns/mnt`));
    expect(pid).not.toBe(readlinkSync(`/proc/${agent.pid}/ns/pid`));
  });

  test.each(["prestart", "createRuntime", "createContainer"] as const)(
    "creating a container fails with what its %s hook says, and leaves nothing",
    async (point) => {
      const before = agent.state();
      const spec: Spec = {
        ...sh("true"),
        hooks: { [point]: [failing("echo no luck >&2; exit 3"), hook("never")] },
      };
      await expect(agent.create(spec)).rejects.toThrow(
        `run ${point} hook: /bin/sh: it ended with status 3 (no luck)`,
      );
      expect(lines()).toEqual([]);
      await agent.settled(before);
    },
  );

  test("starting a container fails when its startContainer hook does", async () => {
    const spec: Spec = {
      ...sh("echo ran"),
      hooks: { startContainer: [failing("exit 4", { env: ["PATH=/bin"] })] },
    };
    await using container = await agent.create(spec);
    await expect(container.start()).rejects.toThrow("it ended with status 4");
    expect((await container.result()).stdout).toBe("");
  });

  test("starting a container fails and the container ends when its poststart hook fails", async () => {
    const spec: Spec = { ...sh("exec sleep 1000"), hooks: { poststart: [failing("exit 5")] } };
    await using container = await agent.create(spec);
    await expect(container.start()).rejects.toThrow("run poststart hook: /bin/sh: it ended with status 5");
    expect(await container.wait()).toBe(137);
  });

  test("removing a container succeeds when its poststop hook fails, and the others run", async () => {
    await agent.run({ ...sh("true"), hooks: { poststop: [failing("exit 6")] } });
    expect(existsSync("/run/kata-containers/container-1")).toBe(false);
  });

  test.each(["createRuntime", "createContainer"] as const)(
    "a %s hook that does not end is killed at its timeout, with all that it has started",
    async (point) => {
      const before = agent.state();
      const spec: Spec = {
        ...sh("true"),
        hooks: { [point]: [failing("sleep 7777 & sleep 7777", { timeout: 1 })] },
      };
      await expect(agent.create(spec)).rejects.toThrow("did not end within 1000 ms");
      await agent.settled(before);
    },
  );

  test.each([
    [{ path: "relative" }, "the path is absolute"],
    [{ path: "/bin/true", timeout: -1 }, "hooks.prestart[0].timeout: expected an integer from 1"],
    [{ path: "/no-such-hook" }, "it ended with status 127"],
  ])("the hook %j is refused", async (bad, message) => {
    await expect(agent.create({ ...sh("true"), hooks: { prestart: [bad] } })).rejects.toThrow(message);
  });
});

describe("process", () => {
  test("umask, scheduler, I/O priority and personality are the spec's", async () => {
    const spec = withLinux(
      withProcess(
        sh("umask; uname -m; ionice; cut -d' ' -f41 /proc/self/stat; cut -d' ' -f19 /proc/self/stat"),
        {
          user: { uid: 0, gid: 0, umask: 0o027 },
          scheduler: { policy: "SCHED_BATCH", nice: 5 },
          ioPriority: { class: "IOPRIO_CLASS_BE", priority: 6 },
        },
      ),
      { personality: { domain: "LINUX32" } },
    );
    expect((await agent.run(spec)).stdout).toBe("0027\ni686\nbest-effort: prio 6\n3\n5\n");
  });

  test("an exec has its own umask and scheduler", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    const { stdout } = await container.exec("e", ["sh", "-c", "umask; cut -d' ' -f41 /proc/self/stat"], {
      user: { uid: 0, gid: 0, umask: 0 },
      scheduler: { policy: "SCHED_IDLE" },
    });
    expect(stdout).toBe("0000\n5\n");
  });

  test.each([
    [{ scheduler: { policy: "SCHED_OTHER", priority: 3 } }, "only SCHED_FIFO and SCHED_RR"],
    [{ scheduler: { policy: "SCHED_FIFO", priority: 3, runtime: 5 } }, "only SCHED_DEADLINE"],
    [{ ioPriority: { class: "IOPRIO_CLASS_RT", priority: 8 } }, "0 to 7"],
  ] as const)("the process %j is refused", async (process, message) => {
    await expect(agent.run(withProcess(sh("true"), process))).rejects.toThrow(message);
  });

  test("a seccomp filter that asks for a listener is refused, as none is there", async () => {
    const spec = withLinux(sh("true"), {
      seccomp: {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" }],
      },
    });
    await expect(agent.run(spec)).rejects.toThrow("SCMP_ACT_NOTIFY");
  });

  test("a system call that no rule names fails with the filter's own errno", async () => {
    const spec = withLinux(sh("mkdir /tmp/x"), {
      seccomp: {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
      },
    });
    expect((await agent.run(spec)).stderr).toContain("No space left on device");
  });

  test("the domain name is the container's own", async () => {
    const { stdout } = await agent.run({
      ...sh("cat /proc/sys/kernel/domainname"),
      domainname: "example.org",
    });
    expect(stdout).toBe("example.org\n");
  });
});

describe("resources", () => {
  test("a limit below what is in use is refused when the spec asks to check", async () => {
    await using container = await agent.create(
      sh("head -c 20m /dev/zero > /dev/shm/x; echo ready; exec sleep 1000"),
    );
    await container.start();
    await container.readUntil("stdout", "ready");
    await expect(container.update({ memory: { limit: 8 << 20, checkBeforeUpdate: true } })).rejects.toThrow(
      "are in use",
    );
    await container.update({ memory: { limit: 256 << 20, checkBeforeUpdate: true } });
    expect((await container.stats()).memoryLimit).toBe(256 << 20);
  });

  test.each([
    [{ blockIO: { weight: 5 } }, /weight 5/],
    [{ blockIO: { weightDevice: [{ major: 8, minor: 0, weight: 1001 }] } }, /weight 1001/],
    [{ memory: { limit: 8 << 20, swap: 4 << 20 } }, /at least the memory limit/],
    [{ cpu: { cpus: "no" } }, /cpus/],
    [{ hugepageLimits: [{ pageSize: "3XB", limit: 1 }] }, /3XB/],
    [{ unified: { "../memory.max": "1" } }, /unified/],
  ])("the resources %j are refused, and nothing is left", async (resources, message) => {
    const before = agent.state();
    await expect(agent.run(withLinux(sh("true"), { resources }))).rejects.toThrow(message);
    expect(agent.state()).toEqual(before);
  });

  test("device rules are applied in order, the last one for a device decides", async () => {
    const rules = (allowLast: boolean) => [
      { allow: false, access: "rwm" },
      { allow: !allowLast, type: "c", major: 10, minor: 229, access: "rw" },
      { allow: allowLast, type: "c", major: 10, minor: 229, access: "rw" },
    ];
    const script = "mknod /tmp/fuse c 10 229; (: < /tmp/fuse) 2>&1 | grep -c 'not permitted'; rm /tmp/fuse";
    const denied = await agent.run(withLinux(sh(script), { resources: { devices: rules(false) } }));
    const allowed = await agent.run(withLinux(sh(script), { resources: { devices: rules(true) } }));
    expect([denied.stdout, allowed.stdout]).toEqual(["1\n", "0\n"]);
  });
});

test.each([
  ["kernel.hostname", "x"],
  ["kernel.core_pattern", "|/bin/sh"],
  ["kernel/../vm/swappiness", "1"],
  ["vm.swappiness", "1"],
  ["user.max_user_namespaces", "1"],
  ["net/../kernel/panic", "1"],
  ["", ""],
])("the sysctl %j is refused (it is not the container's own)", async (name, value) => {
  await expect(agent.run(withLinux(sh("true"), { sysctl: { [name]: value } }))).rejects.toThrow("set sysctl");
});
