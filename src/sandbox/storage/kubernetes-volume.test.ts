import { describe, expect, test } from "vitest";
import { parseMountInfo } from "../../sys/mountinfo.ts";
import { emptyDirName, isSubPath, isUpdated, resolveSubPath, subPathVolume } from "./kubernetes-volume.ts";

const POD = "/var/lib/kubelet/pods/uid";
const VOLUME = `${POD}/volumes/kubernetes.io~empty-dir/cache`;
const PART = `${POD}/volume-subpaths/cache/web/0`;

test.each([
  [VOLUME, "cache"],
  [`${VOLUME}/`, "cache"],
  [`${VOLUME}/inner`, undefined],
  [`${POD}/volumes/kubernetes.io~secret/cache`, undefined],
  ["/data/kubernetes.io~empty-dir/cache", undefined],
])("emptyDirName(%s) is %s", (path, name) => expect(emptyDirName(path)).toBe(name));

test.each([
  ["configmap", true],
  ["secret", true],
  ["projected", true],
  ["downward-api", true],
  ["empty-dir", false],
])("a volume kubernetes.io~%s is changed while it is used: %s", (plugin, expected) => {
  expect(isUpdated(`${POD}/volumes/kubernetes.io~${plugin}/v`)).toBe(expected);
});

describe("resolveSubPath()", () => {
  const mounts = (...lines: readonly string[]) =>
    parseMountInfo(["1 0 8:1 / / rw - ext4 /dev/sda1 rw", ...lines].map((line) => `${line}\n`).join(""));

  test("knows the parts of a volume", () => {
    expect([isSubPath(PART), isSubPath(VOLUME)]).toEqual([true, false]);
    expect(subPathVolume(PART)).toEqual({ pod: POD, name: "cache" });
  });

  test("finds the part of a volume in memory, and the whole of it", () => {
    const memory = `2 1 0:50 / ${VOLUME} rw - tmpfs tmpfs rw,size=1024k`;
    const found = (root: string) =>
      resolveSubPath(PART, mounts(memory, `3 1 0:50 ${root} ${PART} rw - tmpfs tmpfs rw`), [VOLUME]);
    expect(found("/a/b")).toEqual({ volume: VOLUME, path: "a/b" });
    expect(found("/")).toEqual({ volume: VOLUME, path: "" });
  });

  test("finds the part of a directory of the host", () => {
    const part = `3 1 8:1 ${VOLUME}/sub ${PART} rw - ext4 /dev/sda1 rw`;
    expect(resolveSubPath(PART, mounts(part), [`${VOLUME}/mount`, VOLUME])).toEqual({
      volume: VOLUME,
      path: "sub",
    });
  });

  test("tells nothing of what is elsewhere", () => {
    const other = `3 1 8:1 ${VOLUME}-other/sub ${PART} rw - ext4 /dev/sda1 rw`;
    expect(resolveSubPath(PART, mounts(other), [VOLUME])).toBeUndefined();
    expect(resolveSubPath(PART, mounts(), [VOLUME])).toBeUndefined();
  });
});
