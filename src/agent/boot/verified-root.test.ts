import { describe, expect, test } from "vitest";
import { parseVerityParameters, verityRootParameters } from "../../sandbox/hypervisor/verity-parameters.ts";
import { verifiedRoot } from "./verified-root.ts";

const HASH = "ab".repeat(32);
const TEXT = `root_hash=${HASH},salt=00ff,data_blocks=10,data_block_size=4096,hash_block_size=4096`;

describe("verifiedRoot()", () => {
  test("reads what the host writes on the kernel's command line", () => {
    const words = verityRootParameters(parseVerityParameters(TEXT), "/dev/vda").join(" ");
    expect(verifiedRoot(`quiet ${words} rootfstype=erofs console=ttyS0`)).toEqual({
      sectors: 80n,
      table: `1 /dev/vda1 /dev/vda2 4096 4096 10 0 sha256 ${HASH} 00ff`,
      disks: ["/dev/vda1", "/dev/vda2"],
      filesystem: "erofs",
    });
  });

  test("is nothing without a word of it", () => {
    expect(verifiedRoot("quiet root=/dev/vda1 rootfstype=erofs")).toBeUndefined();
  });

  const table = `0 80 verity 1 /dev/vda1 /dev/vda2 4096 4096 10 0 sha256 ${HASH} -`;
  test.each([
    ["", "rootfstype=erofs"],
    [`x,,,rw,${table}`, "rootfstype=erofs"],
    [`x,,,ro,${table}`, ""],
    [`x,,,ro,${table},0 8 linear /dev/vda1 0`, "rootfstype=erofs"],
    [`x,,,ro,${table} 1 ignore_corruption`, "rootfstype=erofs"],
    [`x,,,ro,${table.replace("verity 1", "verity 0")}`, "rootfstype=erofs"],
    [`x,,,ro,${table.replace("0 80 verity", "0 80 linear")}`, "rootfstype=erofs"],
    [`x,,,ro,${table.replace("0 80", "8 80")}`, "rootfstype=erofs"],
    [`x,,,ro,${table.replace("0 80", "0 88")}`, "rootfstype=erofs"],
    [`x,,,ro,${table.replace("/dev/vda1", "/proc/1/x")}`, "rootfstype=erofs"],
  ])("refuses %j with %j", (create, more) => {
    expect(() => verifiedRoot(`dm-mod.create="${create}" ${more}`)).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});
