import { expect, test } from "vitest";
import { parseConfiguration } from "../config/index.ts";
import { sandboxSettings } from "./settings.ts";

const QEMU = '[hypervisor.qemu]\nvirtio_fs_daemon = "/usr/libexec/virtiofsd"\n';

test.each([
  ["a driver that there is not", "[hypervisor.stratovirt]\n", 'hypervisor = "stratovirt"'],
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

test("sandboxSettings() needs nothing of this host for machines that are made elsewhere", () => {
  const text =
    '[hypervisor.remote]\nremote_hypervisor_socket = "/s.sock"\nremote_hypervisor_timeout = 9\nmachine_type = "t3.small"\nimage = "ami-1"\ndefault_gpus = 2\ndefault_gpu_model = "g"\n[runtime]\nexperimental_force_guest_pull = true\n';
  const settings = sandboxSettings(parseConfiguration(text, "/c.toml", { strict: true }));
  expect(settings).toMatchObject({
    driver: "remote",
    sharesFiles: false,
    guestPull: true,
    size: { isStatic: true },
    remote: {
      service: { socket: "/s.sock", timeoutMs: 9000 },
      instanceType: "t3.small",
      image: "ami-1",
      gpus: 2,
      gpuModel: "g",
      initdata: "",
    },
  });
});

test("sandboxSettings() gives images that extend the root to monitors that name disks, and tells the kernel of them", () => {
  const text = (driver: string) =>
    `[hypervisor.${driver}]\nvirtio_fs_daemon = "/v"\nguest_extension_images = [{ name = "tools", path = "/t.img" }]\n`;
  for (const driver of ["qemu", "clh"]) {
    const { machine } = sandboxSettings(parseConfiguration(text(driver), "/c.toml"));
    expect(machine.extensions).toEqual([{ name: "tools", path: "/t.img", verityParameters: "" }]);
    expect(machine.kernelParameters.split(" ")).toContain("kata.extension.tools.verity_params");
  }
  expect(() => sandboxSettings(parseConfiguration(text("firecracker"), "/c.toml"))).toThrow(
    expect.objectContaining({
      code: "unsupported",
      object: expect.stringContaining("guest_extension_images"),
    }),
  );
});

test("sandboxSettings() refuses to share files with a machine that is made elsewhere", () => {
  const text = '[hypervisor.remote]\nshared_fs = "virtio-fs"\nvirtio_fs_daemon = "/v"\n';
  expect(() => sandboxSettings(parseConfiguration(text, "/c.toml"))).toThrowError(
    expect.objectContaining({ code: "unsupported", object: 'shared_fs = "virtio-fs"' }),
  );
});
