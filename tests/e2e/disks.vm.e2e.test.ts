/** Disks in each way that QEMU can be told to attach and read them. */
import { execFileSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { runCommand } from "../harness/command.ts";
import { BUILT_PROGRAMS, type Section, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { test } from "../harness/workbench.ts";

const runtime = (...args: string[]) => runCommand(join(BUILT_PROGRAMS, "kata-runtime"), args);

/** Keys of the monitor, and what the guest has then: the disk's name, and whether its reads are held back. */
const WAYS: readonly {
  readonly what: string;
  readonly keys: Section;
  readonly disk: string;
  readonly slow: boolean;
}[] = [
  {
    what: "behind a SCSI controller with a thread of its own, and within limits",
    keys: {
      block_device_driver: "virtio-scsi",
      enable_iothreads: true,
      block_device_aio: "threads",
      disk_rate_limiter_bw_max_rate: 8 * (1 << 20),
    },
    disk: "sda",
    slow: true,
  },
  {
    what: "past the host's page cache, by a monitor that is not root",
    keys: {
      block_device_driver: "virtio-blk",
      block_device_aio: "native",
      block_device_cache_set: true,
      block_device_cache_direct: true,
      block_device_cache_noflush: true,
      rootless: true,
    },
    disk: "vda",
    slow: false,
  },
];

const isOfQemu = ["qemu", "qemu-aarch64"].includes(process.env.KATA_TEST_HYPERVISOR ?? "qemu");

describe.skipIf(!isOfQemu)("a disk of QEMU", () => {
  for (const { what, keys, disk, slow } of WAYS) {
    test(`is attached ${what}`, async ({ bench }) => {
      const configuration = writeKataConfiguration(bench.scratch, "disks", { "hypervisor.qemu": keys });
      const image = join(bench.scratch, "disk.img");
      writeFileSync(image, "");
      truncateSync(image, 16 << 20);
      execFileSync("mkfs.ext4", ["-q", image]);
      const volume = join(bench.scratch, "pods/uid/volumes/kubernetes.io~csi/claim/mount");
      mkdirSync(volume, { recursive: true });
      const info = { "volume-type": "block", device: image, fstype: "ext4" };
      const added = await runtime(
        "direct-volume",
        "add",
        "--volume-path",
        volume,
        "--mount-info",
        JSON.stringify(info),
      );
      expect(added).toMatchObject({ status: 0 });
      try {
        const script = [
          "dd if=/dev/urandom of=/data/blob bs=1M count=4 2>/dev/null && sync",
          "echo 3 > /proc/sys/vm/drop_caches 2>/dev/null",
          "mknod /tmp/disk b $(tr : ' ' < /sys/block/DISK/dev)",
          "start=$(cut -d' ' -f1 /proc/uptime | tr -d .)",
          "md5sum < /data/blob > /dev/null && dd if=/tmp/disk of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null",
          "end=$(cut -d' ' -f1 /proc/uptime | tr -d .)",
          "echo $((end - start)); grep ' /data ' /proc/mounts; ls /sys/block",
        ];
        const result = await bench.run(script.join("; ").replaceAll("DISK", disk), [
          ...["--runtime-config-path", configuration, "--privileged"],
          ...["--mount", `type=bind,src=${volume},dst=/data,options=rbind:rw`],
        ]);
        expect(result).toMatchObject({ status: 0 });
        const [centiseconds = "", mount = "", ...disks] = result.stdout.trim().split("\n");
        expect(mount).toMatch(new RegExp(`^/dev/${disk} /data ext4 rw`));
        expect(disks).toContain(disk);
        // 4 MiB and more at a MiB a second, with a second's worth in the bucket.
        if (slow) expect(Number(centiseconds)).toBeGreaterThan(200);
      } finally {
        await runtime("direct-volume", "delete", "--volume-path", volume);
      }
      execFileSync("e2fsck", ["-fn", image]);
    });
  }
});
