/** Disks that no kernel of the host knows: another program serves them over vhost-user. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { runCommand } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { BUILT_PROGRAMS, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { test } from "../harness/workbench.ts";

const isPc = (process.env.KATA_TEST_HYPERVISOR ?? "qemu") === "qemu";

const runtime = (...args: string[]) => runCommand(join(BUILT_PROGRAMS, "kata-runtime"), args);

/** Serves `image` at `socket`, until it is disposed of. */
async function serve(image: string, socket: string): Promise<AsyncDisposable> {
  rmSync(socket, { force: true });
  const server: ChildProcess = spawn(
    "qemu-storage-daemon",
    [
      ...["--blockdev", `driver=file,node-name=file,filename=${image}`],
      ...["--blockdev", "driver=raw,node-name=disk,file=file"],
      ...[
        "--export",
        `type=vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,addr.path=${socket}`,
      ],
    ],
    { stdio: "ignore" },
  );
  const gone = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  await eventually("the server listens", 10_000, () => (existsSync(socket) ? true : undefined));
  return {
    [Symbol.asyncDispose]: async () => {
      server.kill();
      await gone;
    },
  };
}

function ext4(path: string): string {
  writeFileSync(path, "");
  truncateSync(path, 16 << 20);
  execFileSync("mkfs.ext4", ["-q", path]);
  return path;
}

/** What `path` of the file system in `image` contains. */
function fileOf(image: string, path: string): string {
  return execFileSync("debugfs", ["-R", `cat ${path}`, image], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}

interface Store extends Disposable {
  readonly directory: string;
  readonly node: string;
  readonly socket: string;
}

/** A directory as an operator lays it out, with one disk: its node and its socket. */
function store(directory: string): Store {
  const block = join(directory, "block");
  for (const name of ["devices", "sockets"]) mkdirSync(join(block, name), { recursive: true });
  const node = join(block, "devices/fast0");
  execFileSync("mknod", [node, "b", "241", "7"]);
  return {
    directory,
    node,
    socket: join(block, "sockets/fast0"),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

const HUGE_PAGES = "/proc/sys/vm/nr_hugepages";

/** The host's huge pages for one machine, given back. */
function hugePages(count: number): Disposable {
  const before = readFileSync(HUGE_PAGES, "utf8").trim();
  writeFileSync(HUGE_PAGES, `${Number(before) + count}`);
  return { [Symbol.dispose]: () => writeFileSync(HUGE_PAGES, before) };
}

describe.skipIf(!isPc)("a disk that another program serves", () => {
  test("is a container's by the node that stands for it, and lasts longer than its server", async ({
    bench,
  }) => {
    using _ = hugePages(192);
    // Where a container may use nodes, too: `ctr` gives it the device by the name that it has here.
    using place = store(`/dev/${bench.newId()}`);
    const { node, socket, directory } = place;
    const configuration = writeKataConfiguration(bench.scratch, "served", {
      "hypervisor.qemu": {
        enable_vhost_user_store: true,
        vhost_user_store_path: directory,
        vhost_user_reconnect_timeout_sec: 1,
        enable_hugepages: true,
      },
    });
    const image = ext4(join(bench.scratch, "disk.img"));
    const machine = ["--runtime-config-path", configuration, "--privileged"];
    const flags = [...machine, "--device", node];
    const mounted = (from: string) => `mkdir -p /mnt/data; mount -t ext4 ${from} /mnt/data`;
    {
      await using _server = await serve(image, socket);
      const result = await bench.run(
        `${mounted(node)} && echo kept > /mnt/data/file && umount /mnt/data && ls -l ${node}`,
        flags,
      );
      expect(result).toMatchObject({ status: 0, stderr: "" });
      expect(result.stdout).toMatch(/^brw/);
    }
    expect(fileOf(image, "/file")).toBe("kept\n");
    // Nobody listens: the container is refused in one line that names the socket.
    rmSync(socket, { force: true });
    const refused = await bench.run("true", flags);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain(socket);

    // Another server takes the place of the first while the guest has the disk.
    let first: AsyncDisposable | undefined = await serve(image, socket);
    try {
      const id = await bench.detach(`${mounted("/dev/mine")} && touch /mnt/data/ready && exec sleep 600`, [
        ...machine,
        ...["--mount", `type=bind,src=${node},dst=/dev/mine,options=bind:rw`],
      ]);
      await eventually("the disk is mounted", 60_000, async () =>
        (await bench.exec(id, "test -e /mnt/data/ready")).status === 0 ? true : undefined,
      );
      expect(await bench.exec(id, "sync")).toMatchObject({ status: 0 });
      await first[Symbol.asyncDispose]();
      first = undefined;
      await using _second = await serve(image, socket);
      const again =
        "echo 3 > /proc/sys/vm/drop_caches; cat /mnt/data/file; echo more > /mnt/data/more; umount /mnt/data";
      expect(await bench.exec(id, again)).toMatchObject({ status: 0, stdout: "kept\n" });
      await bench.ctr.remove(id);
    } finally {
      await first?.[Symbol.asyncDispose]();
    }
    expect(fileOf(image, "/more")).toBe("more\n");
    execFileSync("e2fsck", ["-fn", image]);
  });

  test("is a direct volume, which the guest mounts", async ({ bench }) => {
    const configuration = writeKataConfiguration(bench.scratch, "spdk", { "hypervisor.qemu": {} });
    const image = ext4(join(bench.scratch, "disk.img"));
    const socket = join(bench.scratch, "s");
    const volume = join(bench.scratch, "pods/uid/volumes/kubernetes.io~csi/claim/mount");
    mkdirSync(volume, { recursive: true });
    const info = { "volume-type": "spdkvol", device: socket, fstype: "ext4", options: ["rw"] };
    const place = ["--volume-path", volume];
    expect(
      await runtime("direct-volume", "add", ...place, "--mount-info", JSON.stringify(info)),
    ).toMatchObject({
      status: 0,
    });
    try {
      await using _server = await serve(image, socket);
      const result = await bench.run("echo kept > /data/file && grep ' /data ' /proc/mounts", [
        ...["--runtime-config-path", configuration],
        ...["--mount", `type=bind,src=${volume},dst=/data,options=rbind:rw`],
      ]);
      expect(result).toMatchObject({ status: 0, stderr: "" });
      expect(result.stdout).toMatch(/^\/dev\/vd[a-z] \/data ext4 rw/);
    } finally {
      await runtime("direct-volume", "delete", ...place);
    }
    expect(fileOf(image, "/file")).toBe("kept\n");
  });
});
