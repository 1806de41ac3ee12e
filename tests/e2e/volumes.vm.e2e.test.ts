/** Volumes as Kubernetes hands them over: by their places below the kubelet's directory. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { runCommand } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { BUILT_PROGRAMS } from "../harness/kata-configuration.ts";
import { test, type Workbench } from "../harness/workbench.ts";

const IDLE = "while :; do sleep 1; done";
const DIRECT_VOLUMES = "/run/kata-containers/shared/direct-volumes";

const tool = (program: string, ...args: string[]) =>
  execFileSync(program, args, { encoding: "utf8", stdio: "pipe" });
const runtime = (...args: string[]) => runCommand(join(BUILT_PROGRAMS, "kata-runtime"), args);

/** A directory as the kubelet has one for a pod; what is mounted in it is unmounted at the end of the scope. */
class KubeletPod implements Disposable {
  readonly directory: string;
  readonly #mounts: string[] = [];

  constructor(bench: Workbench) {
    this.directory = join(bench.scratch, "pods/uid");
  }

  volume(plugin: string, name: string): string {
    const path = join(this.directory, "volumes", `kubernetes.io~${plugin}`, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  mountTmpfs(path: string, options: string): void {
    tool("mount", "-t", "tmpfs", "-o", options, "tmpfs", path);
    this.#mounts.push(path);
  }

  /** What the kubelet mounts for a container's subPath. */
  subPath(volume: string, name: string, path: string): string {
    const place = join(this.directory, "volume-subpaths", name, "web", String(this.#mounts.length));
    mkdirSync(place, { recursive: true });
    mkdirSync(join(volume, path), { recursive: true });
    tool("mount", "--bind", join(volume, path), place);
    this.#mounts.push(place);
    return place;
  }

  [Symbol.dispose](): void {
    for (const path of this.#mounts.reverse()) tool("umount", path);
  }
}

function bind(source: string, target: string, mode: "rw" | "ro" = "rw"): string[] {
  return ["--mount", `type=bind,src=${source},dst=${target},options=rbind:${mode}`];
}

function member(pod: string, type: "sandbox" | "container"): string[] {
  const prefix = "io.kubernetes.cri";
  return ["--annotation", `${prefix}.container-type=${type}`, "--annotation", `${prefix}.sandbox-id=${pod}`];
}

async function startPod(bench: Workbench): Promise<string> {
  const pod = bench.newId();
  return await bench.detach(IDLE, member(pod, "sandbox"), pod);
}

async function output(bench: Workbench, id: string, script: string): Promise<string> {
  const { status, stdout, stderr } = await bench.exec(id, script);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

describe("a direct volume", () => {
  test("is mounted by the guest, tells how full it is, grows in use and is given back", async ({ bench }) => {
    const image = join(bench.scratch, "disk");
    writeFileSync(image, "");
    truncateSync(image, 32 << 20);
    tool("/sbin/mkfs.ext4", "-q", "-F", "-b", "4096", image, "16M");
    const volume = new KubeletPod(bench).volume("csi", "pvc-1");
    const info = { "volume-type": "block", device: image, fstype: "ext4", metadata: { fsGroup: "3000" } };
    const path = ["--volume-path", volume];
    const added = await runtime("direct-volume", "add", ...path, "--mount-info", JSON.stringify(info));
    expect(added).toMatchObject({ status: 0, stdout: "", stderr: "" });
    try {
      expect(await runtime("direct-volume", "stats", ...path)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("no pod uses it"),
      });
      const pod = await startPod(bench);
      const [first, second] = await Promise.all([
        bench.detach(IDLE, [...bind(volume, "/data"), ...member(pod, "container")]),
        bench.detach(IDLE, [...bind(volume, "/data", "ro"), ...member(pod, "container")]),
      ]);
      const script =
        "stat -c '%g %a' /data; head -c 1000000 /dev/zero > /data/file; sync; grep -c ' /data ext4 ' /proc/mounts";
      expect(await output(bench, first, script)).toBe("3000 2775\n1\n");
      expect(
        await output(bench, second, "stat -c %s /data/file; touch /data/x 2>/dev/null || echo read-only"),
      ).toBe("1000000\nread-only\n");
      const total = async () => {
        const { status, stdout, stderr } = await runtime("direct-volume", "stats", ...path);
        expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
        const { usage, volume_condition } = JSON.parse(stdout);
        expect(volume_condition).toEqual({ abnormal: false, message: "OK" });
        expect(usage.map(({ unit }: { unit: number }) => unit)).toEqual([1, 2]);
        expect(usage[0].used).toBeGreaterThan(999_999);
        return usage[0].total as number;
      };
      expect(await total()).toBeLessThan(16 << 20);
      const resize = (bytes: number) => runtime("direct-volume", "resize", ...path, "--size", String(bytes));
      expect(await resize(64 << 20)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("the device has to be made larger first"),
      });
      truncateSync(image, 64 << 20);
      expect(await resize(64 << 20)).toMatchObject({ status: 0, stderr: "" });
      expect(await total()).toBeGreaterThan(50 << 20);
      expect(await output(bench, second, "df -m /data | awk 'NR == 2 && $2 > 50 { print \"grown\" }'")).toBe(
        "grown\n",
      );
      for (const id of [first, second, pod]) await bench.ctr.remove(id);
      expect(tool("/sbin/debugfs", "-R", "stat /file", image)).toContain("Size: 1000000");
      expect(await runtime("direct-volume", "stats", ...path)).toMatchObject({ status: 1 });
    } finally {
      expect(await runtime("direct-volume", "delete", ...path)).toMatchObject({ status: 0, stderr: "" });
    }
    const encoded = Buffer.from(volume).toString("base64url");
    const left = existsSync(DIRECT_VOLUMES) ? readdirSync(DIRECT_VOLUMES) : [];
    expect(left.filter((name) => name.startsWith(encoded))).toEqual([]);
  });
});

describe("volumes of a pod", () => {
  test("in memory keep their limit and their data, by subPath too; a ConfigMap's change comes whole within 2 s", async ({
    bench,
  }) => {
    using kubelet = new KubeletPod(bench);
    const memory = kubelet.volume("empty-dir", "memory");
    kubelet.mountTmpfs(memory, "size=1m,mode=777");
    const part = kubelet.subPath(memory, "memory", "sub/dir");
    const disk = kubelet.volume("empty-dir", "disk");
    const diskPart = kubelet.subPath(disk, "disk", "part");
    const map = kubelet.volume("configmap", "settings");
    const publish = (version: string) => {
      const name = `..${version}`;
      mkdirSync(join(map, name));
      for (const file of ["first", "second"]) writeFileSync(join(map, name, file), version);
      symlinkSync(name, join(map, "..new"));
      renameSync(join(map, "..new"), join(map, "..data"));
    };
    publish("one");
    for (const file of ["first", "second"]) symlinkSync(`..data/${file}`, join(map, file));

    const pod = await startPod(bench);
    const writer = () =>
      bench.detach(IDLE, [...bind(memory, "/m"), ...bind(disk, "/d"), ...member(pod, "container")]);
    const first = await writer();
    const second = await bench.detach(IDLE, [
      ...bind(part, "/s"),
      ...bind(diskPart, "/p"),
      ...bind(map, "/etc/settings", "ro"),
      ...member(pod, "container"),
    ]);
    // The guest's own memory, and not the host's.
    expect(await output(bench, first, "echo kept > /m/sub/dir/file; echo disk > /d/part/file; ls /m")).toBe(
      "sub\n",
    );
    expect(readdirSync(join(memory, "sub/dir"))).toEqual([]);
    expect(await output(bench, second, "cat /s/file /p/file")).toBe("kept\ndisk\n");
    const filled = await output(
      bench,
      first,
      "head -c 2000000 /dev/zero > /m/big 2>/dev/null; stat -c %s /m/big; rm /m/big",
    );
    expect(Number(filled)).toBeLessThanOrEqual(1 << 20);
    expect(Number(filled)).toBeGreaterThan(900_000);
    // It is the pod's: its only user starts again.
    for (const id of [first, second]) await bench.ctr.remove(id);
    const again = await writer();
    expect(await output(bench, again, "cat /m/sub/dir/file")).toBe("kept\n");
    const reader = await bench.detach(
      "while sleep 0.1; do cat /etc/settings/first /etc/settings/second; echo; done > /seen",
      [...bind(map, "/etc/settings", "ro"), ...member(pod, "container")],
    );
    await eventually(
      "the first state is seen",
      10_000,
      async () => (await output(bench, reader, "cat /seen")).includes("oneone") || undefined,
    );
    publish("two");
    const changed = Date.now();
    await eventually(
      "the second state is seen",
      10_000,
      async () => (await output(bench, reader, "cat /etc/settings/first")) === "two" || undefined,
    );
    // What a look into the guest takes itself comes on top.
    expect(Date.now() - changed).toBeLessThan(3500);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const seen = new Set((await output(bench, reader, "cat /seen")).trim().split("\n"));
    expect([...seen]).toEqual(["oneone", "twotwo"]);
    rmSync(join(map, "..one"), { recursive: true });
  });
});
