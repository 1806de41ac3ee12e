import { expect, test } from "vitest";
import type { Spec } from "../oci/types.ts";
import { dnsLines, sandboxStorages } from "./guest-setup.ts";

const SPEC: Spec = { ociVersion: "1.1.0" };

test("sandboxStorages() mounts the shared directory as upstream's runtime does, and the pod's shared memory", () => {
  expect(sandboxStorages(SPEC, true)).toEqual([
    {
      driver: "virtio-fs",
      source: "kataShared",
      fstype: "virtiofs",
      options: [],
      mountPoint: "/run/kata-containers/shared/containers/",
    },
    {
      driver: "ephemeral",
      source: "shm",
      fstype: "tmpfs",
      options: ["noexec", "nosuid", "nodev", "mode=1777", "size=67108864"],
      mountPoint: "/run/kata-containers/sandbox/shm",
    },
  ]);
});

test.each([
  ["size=65536k", 65_536 << 10],
  ["size=2M", 2 << 20],
  ["size=1g", 1 << 30],
  ["size=50%", 64 << 20],
])("sandboxStorages() reads the size of /dev/shm from %s", (option, bytes) => {
  const spec: Spec = {
    ...SPEC,
    mounts: [{ destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", option] }],
  };
  expect(sandboxStorages(spec, false).map(({ options }) => options.at(-1))).toEqual([`size=${bytes}`]);
});

test("dnsLines() keeps what means something, and not too much of it", () => {
  expect(dnsLines("# comment\n\n nameserver 10.0.0.1 \n; old\nsearch a b\n")).toEqual([
    "nameserver 10.0.0.1",
    "search a b",
  ]);
  expect(dnsLines("nameserver 10.0.0.1\n".repeat(1000))).toHaveLength(256);
});
