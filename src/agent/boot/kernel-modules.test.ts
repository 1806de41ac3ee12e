import { describe, expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { useKernel } from "../../sys/kernel.ts";
import { RecordingKernel } from "../../sys/testing/recording-kernel.ts";
import { KernelModules } from "./kernel-modules.ts";

const ROOT = 7;
const FILES: Readonly<Record<string, string>> = {
  "lib/modules/modules.dep":
    "virtio kernel/virtio.ko\nvirtio_ring kernel/virtio_ring.ko virtio\nvirtio_blk kernel/blk.ko virtio virtio_ring\nvirtio_mmio kernel/mmio.ko virtio virtio_ring\ncrc32c_intel kernel/crc.ko\n",
  "etc/kata/modules.early": "virtio_ring\n",
  "etc/kata/modules.late": "",
  "lib/modules/modules.alias": "block_major_8 virtio_blk\n",
};

/** A kernel with {@link FILES} below the root; `loaded` has what was given to finit_module, in order. */
function guest(answers: Readonly<Record<string, number>> = {}) {
  const opened: string[] = [];
  const read = new Set<number>();
  const loaded: string[] = [];
  const kernel = new RecordingKernel()
    .answer("faccessat2", (_dir, path) => (String(path) in FILES ? 0 : -2))
    .answer("openat", (_dir, path) => 100 + opened.push(String(path)) - 1)
    .answer("read", (fd, into) => {
      const text = FILES[opened[Number(fd) - 100] ?? ""] ?? "";
      if (read.has(Number(fd)) || !(into instanceof Uint8Array)) return 0;
      read.add(Number(fd));
      into.set(new TextEncoder().encode(text));
      return text.length;
    })
    .answer("finit_module", (fd, parameters) => {
      const path = opened[Number(fd) - 100] ?? "";
      loaded.push(`${path.replace("lib/modules/kernel/", "")} ${String(parameters)}`.trim());
      return answers[path.replace("lib/modules/kernel/", "")] ?? 0;
    });
  return { kernel, loaded };
}

describe("KernelModules", () => {
  test("loads what a module needs before it, each once, and gives parameters to the module alone", () => {
    const { kernel, loaded } = guest();
    using _kernel = useKernel(kernel);
    const modules = new KernelModules(ROOT);
    modules.loadEarly();
    expect(loaded).toEqual(["virtio.ko", "virtio_ring.ko"]);
    modules.load("virtio-blk", ["queue_depth=64", "num_request_queues=1"]);
    modules.load("virtio_blk");
    expect(loaded).toEqual(["virtio.ko", "virtio_ring.ko", "blk.ko queue_depth=64 num_request_queues=1"]);
  });

  test("loads a module by another name that the kernel asks for it by", () => {
    const { kernel, loaded } = guest();
    using _kernel = useKernel(kernel);
    new KernelModules(ROOT).load("block-major-8");
    expect(loaded).toEqual(["virtio.ko", "virtio_ring.ko", "blk.ko"]);
  });

  test("gives a module its parameters of the kernel command line, and loads virtio-mmio where it has devices", () => {
    const { kernel, loaded } = guest();
    using _kernel = useKernel(kernel);
    const line =
      "quiet virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=512@0xfeb00c00:13 virtio-blk.queue_depth=32 virtio_ring.debug";
    const modules = new KernelModules(ROOT, line);
    modules.loadEarly();
    modules.load("virtio_blk", ["queue_depth=64"]);
    expect(loaded).toEqual([
      "virtio.ko",
      "virtio_ring.ko debug",
      "mmio.ko device=512@0xfeb00e00:12 device=512@0xfeb00c00:13",
      "blk.ko queue_depth=32 queue_depth=64",
    ]);
  });

  test("goes on when the kernel has a module already or the processor lacks its feature", () => {
    const { kernel } = guest({ "virtio.ko": -17, "crc.ko": -19 });
    using _kernel = useKernel(kernel);
    const modules = new KernelModules(ROOT);
    modules.load("virtio");
    modules.load("crc32c_intel");
  });

  test("tells what the kernel refused a module with", () => {
    const { kernel } = guest({ "virtio.ko": -8 });
    using _kernel = useKernel(kernel);
    expect(() => new KernelModules(ROOT).load("virtio")).toThrow("load kernel module: virtio: ENOEXEC");
  });

  test.each([
    ["nosuch", "not-found"],
    ["../evil", "invalid-argument"],
    ["", "invalid-argument"],
    ["a b", "invalid-argument"],
  ])("refuses %j with %s", (name, code) => {
    const { kernel, loaded } = guest();
    using _kernel = useKernel(kernel);
    let error: unknown;
    try {
      new KernelModules(ROOT).load(name);
    } catch (caught) {
      error = caught;
    }
    expect(error instanceof KataError && error.code).toBe(code);
    expect(loaded).toEqual([]);
  });
});
