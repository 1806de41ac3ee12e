/** User namespaces, and mounts: id-mapped, recursive, and with their propagation. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { LinuxIdMapping, Spec } from "../../src/oci/types.ts";
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
