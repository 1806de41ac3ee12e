import { expect, test } from "vitest";
import { shortenOverlay } from "./overlay-options.ts";

const layer = (number: number) =>
  `/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/${number}/fs`;

test("shortenOverlay() makes layers relative to what they have in common", () => {
  const lower = Array.from({ length: 100 }, (_, index) => layer(index + 1));
  const options = [`lowerdir=${lower.join(":")}`, "upperdir=/u", "workdir=/w", "index=off"];
  expect(options.join(",").length).toBeGreaterThan(4095);
  expect(shortenOverlay(options)).toEqual({
    directory: "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/",
    options: [
      `lowerdir=${lower.map((_, index) => `${index + 1}/fs`).join(":")}`,
      "upperdir=/u",
      "workdir=/w",
      "index=off",
    ],
  });
});

test("shortenOverlay() cuts at a directory, not inside of a name", () => {
  expect(shortenOverlay(["lowerdir=/a/bc/x:/a/bd/y"])).toEqual({
    directory: "/a/",
    options: ["lowerdir=bc/x:bd/y"],
  });
});

test("shortenOverlay() refuses what does not fit even then", () => {
  const lower = Array.from({ length: 2000 }, (_, index) => layer(index));
  expect(() => shortenOverlay([`lowerdir=${lower.join(":")}`])).toThrow(
    expect.objectContaining({ code: "invalid-argument", hint: "build the image with fewer layers" }),
  );
});
