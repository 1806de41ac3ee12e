import { describe, expect, test } from "vitest";
import type { RootfsMount } from "../types.ts";
import { layeredRootfs } from "./layered-rootfs.ts";

const OPTION = "io.katacontainers.fs-opt.";
const layer = (text: string) => `${OPTION}layer=${Buffer.from(text).toString("base64")}`;
const mount = (...options: string[]): RootfsMount => ({
  type: "fuse3.kata-overlay",
  source: "/",
  target: "",
  options,
});

describe("layeredRootfs()", () => {
  test("tells each layer's file and what the guest is told of it", () => {
    const rest = [`${OPTION}block_device=file`, `${OPTION}is-layer`, `${OPTION}root-hash=${"ab".repeat(32)}`];
    const options = [
      `${OPTION}layer-src-prefix=/var/layers`,
      layer(["top", "erofs", "ro", ...rest].join(",")),
      layer(["/elsewhere/low", "tar", "ro"].join(",")),
      `${OPTION}overlay-rw`,
      "lowerdir=top:low",
    ];
    expect(layeredRootfs([mount(...options)])).toEqual({
      layers: [
        {
          path: "/var/layers/top",
          storage: {
            driver: "blk",
            fstype: "erofs",
            options: ["ro", ...rest],
            mountPoint: "/run/kata-containers/sandbox/layers/top",
          },
        },
        {
          path: "/elsewhere/low",
          storage: {
            driver: "blk",
            fstype: "tar",
            options: ["ro"],
            mountPoint: "/run/kata-containers/sandbox/layers/low",
          },
        },
      ],
      overlay: { driver: "overlayfs", source: "none", fstype: "fuse3.kata-overlay", options },
    });
  });

  test("is nothing for other mounts", () => {
    expect(
      layeredRootfs([{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a:/b"] }]),
    ).toBeUndefined();
    expect(layeredRootfs([])).toBeUndefined();
  });

  test.each([
    "no base64!",
    layer("id"),
    layer("id,ext4,ro"),
    layer("..,erofs,ro"),
    layer(",erofs,ro"),
    layer("a/..,tar"),
  ])("refuses %s", (option) => {
    const options = [option.startsWith(OPTION) ? option : `${OPTION}layer=${option}`];
    expect(() => layeredRootfs([mount(...options)])).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});
