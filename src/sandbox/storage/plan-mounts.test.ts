import { describe, expect, test } from "vitest";
import type { Mount } from "../../oci/types.ts";
import { planMount, type SourceType } from "./plan-mounts.ts";

const HOST: Readonly<Record<string, SourceType>> = {
  "/data": "directory",
  "/data/file": "file",
  "/mounted": "directory",
  "/run/socket": "socket",
  "/dev/null": "character-device",
  "/dev/sda": "block-device",
  "/dev/disk": "directory",
  "/dev/shm/data": "directory",
  "/dev/log": "socket",
  "/tmp/node": "character-device",
};

const plan = (mount: Mount) =>
  planMount(mount, {
    typeOf: (path) => HOST[path],
    isDeviceTree: (path) => path === "/dev/disk",
    hasMountsBelow: (path) => path === "/mounted",
  });
const bind = (source: string, destination: string, ...options: string[]): Mount => ({
  type: "bind",
  source,
  destination,
  options,
});

describe("planMount()", () => {
  test.each<[what: string, mount: Mount]>([
    [
      "a file system of the kernel",
      { type: "proc", source: "proc", destination: "/proc", options: ["nosuid"] },
    ],
    ["a bind of the host's /sys", bind("/sys/fs/cgroup", "/sys/fs/cgroup", "rbind", "ro")],
    ["a bind of a device node", bind("/dev/null", "/dev/null", "bind")],
    ["a bind of the directories of devices", bind("/dev/disk", "/disk", "bind")],
  ])("leaves %s to the guest as it is", (_what, mount) => {
    expect(plan(mount)).toEqual({ kind: "guest", mount });
  });

  test("takes the pod's own memory for /dev/shm", () => {
    const mount = bind("/run/containerd/shm", "/dev/shm", "rbind");
    expect(plan(mount)).toEqual({
      kind: "guest",
      mount: { ...mount, source: "/run/kata-containers/sandbox/shm" },
    });
  });

  test.each<[options: string[], recursive: boolean, readOnly: string]>([
    [["bind"], false, "no"],
    [["rbind", "rw"], true, "no"],
    [["rbind", "ro"], true, "mount"],
    [["rbind", "rro"], true, "recursive"],
  ])("shares a directory with options %o", (options, recursive, readOnly) => {
    const mount = bind("/data", "/mnt", ...options);
    expect(plan(mount)).toEqual({
      kind: "shared",
      mount,
      source: "/data",
      recursive,
      readOnly,
      follows: false,
      warning: undefined,
    });
  });

  test.each<[source: string, options: string[], readOnly: string, follows: boolean]>([
    ["/mounted", ["rbind", "rprivate", "ro"], "mount", false],
    ["/data", ["rbind", "rslave", "ro"], "mount", true],
    ["/data", ["rbind", "rshared", "ro"], "mount", true],
  ])("leaves it to the host what of %s is read-only with %o", (source, options, readOnly, follows) => {
    const mount = bind(source, "/mnt", ...options);
    expect(plan(mount)).toMatchObject({
      kind: "shared",
      mount: { ...mount, options: [...options, "rw"] },
      readOnly,
      follows,
    });
  });

  test.each([
    ["a tree that is read-only as a whole", bind("/mounted", "/mnt", "rbind", "rro")],
    ["the mount alone", bind("/mounted", "/mnt", "bind", "ro")],
    ["a tree that may be written", bind("/mounted", "/mnt", "rbind", "rw")],
  ])("gives the guest the options as they are for %s", (_what, mount) => {
    expect(plan(mount)).toMatchObject({ kind: "shared", mount, follows: false });
  });

  test("shares a directory below /dev that somebody keeps files in, and says what a socket there is worth", () => {
    expect(plan(bind("/dev/shm/data", "/mnt", "bind"))).toMatchObject({
      kind: "shared",
      source: "/dev/shm/data",
    });
    expect(plan(bind("/dev/log", "/dev/log", "bind"))).toMatchObject({
      kind: "shared",
      warning: expect.stringContaining("/dev/log is a socket"),
    });
  });

  test.each([
    ["rw", false],
    ["ro", true],
  ])("plugs in the disk whose node is bound with %s", (option, readOnly) => {
    const mount = bind("/dev/sda", "/data", "bind", option);
    expect(plan(mount)).toEqual({ kind: "block-device", mount, source: "/dev/sda", readOnly });
  });

  test("warns that a socket cannot be used through the guest", () => {
    expect(plan(bind("/run/socket", "/s", "bind"))).toMatchObject({
      kind: "shared",
      warning: expect.stringContaining("/run/socket is a socket"),
    });
  });

  test("names a source that is missing", () => {
    expect(() => plan(bind("/nowhere", "/mnt", "bind"))).toThrow(
      expect.objectContaining({ code: "not-found", object: "/nowhere", operation: "mount at /mnt" }),
    );
  });

  test("refuses a device outside of /dev", () => {
    expect(() => plan(bind("/tmp/node", "/mnt", "bind"))).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});
