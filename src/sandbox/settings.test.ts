import { expect, test } from "vitest";
import { parseConfiguration } from "../config/index.ts";
import { sandboxSettings } from "./settings.ts";

const QEMU = '[hypervisor.qemu]\nvirtio_fs_daemon = "/usr/libexec/virtiofsd"\n';

test.each([
  ["a driver that there is not", "[hypervisor.firecracker]\n", 'hypervisor = "firecracker"'],
  [
    "another shared file system than virtio-fs",
    `${QEMU}shared_fs = "virtio-9p"\n`,
    'shared_fs = "virtio-9p"',
  ],
  [
    "a network model that routes",
    `${QEMU}[runtime]\ninternetworking_model = "l3forwarding"\n`,
    'internetworking_model = "l3forwarding"',
  ],
])("sandboxSettings() refuses %s", (_what, text, object) => {
  const configuration = parseConfiguration(text, "/c.toml", { strict: true });
  expect(() => sandboxSettings(configuration)).toThrowError(
    expect.objectContaining({ code: "unsupported", object }),
  );
});

test("sandboxSettings() takes seconds as milliseconds, modules as words, and the root that is set", () => {
  const configuration = parseConfiguration(
    `${QEMU}tx_rate_limiter_max_rate = 2000000\nimage = "/guest.img"\nrootfs_type = "erofs"\n[agent.kata]\ndial_timeout = 7\nkernel_modules = ["a x=1  y=2", "b"]\n[runtime]\ncreate_container_timeout = 9\ndisable_guest_seccomp = false\n`,
    "/c.toml",
    { strict: true },
  );
  const settings = sandboxSettings(configuration);
  expect(settings).toMatchObject({
    dialTimeoutMs: 7000,
    createContainerTimeoutMs: 9000,
    kernelModules: [
      { name: "a", parameters: ["x=1", "y=2"] },
      { name: "b", parameters: [] },
    ],
    network: {
      model: "tcfilter",
      queues: 1,
      limits: { received: 0, sent: 2_000_000 },
      passCards: false,
      danDirectory: "/run/kata-containers/dans",
    },
    constraints: { seccomp: true },
    machine: { root: { kind: "image", path: "/guest.img", filesystem: "erofs" } },
    fileServer: { program: "/usr/libexec/virtiofsd" },
  });
});
