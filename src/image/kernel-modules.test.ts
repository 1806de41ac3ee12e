import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { GUEST_MODULES } from "./guest-modules.ts";
import { type ModuleCatalog, resolveModules } from "./kernel-modules.ts";
import type { ModuleInfo } from "./module-info.ts";
import { aliasList, dependencyList, loadList } from "./module-lists.ts";

type Module = ModuleInfo & { readonly path: string };

/** A kernel with modules written as `name: dependency dependency (soft)`. */
function catalog(descriptions: readonly string[], builtIn: readonly string[] = []): ModuleCatalog<Module> {
  const modules = new Map(
    descriptions.map((line) => {
      const [name = "", rest = ""] = line.split(":");
      const words = rest.split(" ").filter((word) => word !== "");
      const soft = words.filter((word) => word.startsWith("(")).map((word) => word.slice(1, -1));
      const depends = words.filter((word) => !word.startsWith("("));
      return [name, { name, depends, softDependencies: soft, aliases: [], path: `kernel/${name}.ko` }];
    }),
  );
  return { find: (name) => modules.get(name), builtIn: new Set(builtIn) };
}

const names = (wishes: readonly string[], kernel: ModuleCatalog<Module>) =>
  resolveModules(
    wishes.map((name) => ({ name })),
    kernel,
  ).map(({ module, before }) => [module.name, ...before].join(" "));

describe("resolveModules", () => {
  test("puts dependencies of dependencies first, each once", () => {
    const kernel = catalog(["virtio_blk: virtio_ring virtio", "virtio_ring: virtio", "virtio:", "unwanted:"]);
    expect(names(["virtio_blk", "virtio_ring"], kernel)).toEqual([
      "virtio",
      "virtio_ring virtio",
      "virtio_blk virtio virtio_ring",
    ]);
  });

  test("leaves out what is built into the kernel, wish or dependency", () => {
    expect(names(["a", "b"], catalog(["a: c"], ["b", "c"]))).toEqual(["a"]);
  });

  test("takes soft dependencies that the kernel has and goes without the others", () => {
    expect(names(["erofs"], catalog(["erofs: (crc32c) (gone)", "crc32c:"]))).toEqual([
      "crc32c",
      "erofs crc32c",
    ]);
  });

  test("finds a module whichever way its name is spelled", () => {
    expect(names(["dm-verity"], catalog(["dm_verity:"]))).toEqual(["dm_verity"]);
  });

  test("does without an optional module and names a missing one with what needs it", () => {
    expect(resolveModules([{ name: "9p", optional: true }], catalog([]))).toEqual([]);
    expect(() => names(["a"], catalog(["a: b", "b: c"]))).toThrow(/c, which a → b depends on/);
    expect(() => names(["a"], catalog([]))).toThrow(KataError);
  });

  test("refuses modules that depend on each other in a circle", () => {
    expect(() => names(["a"], catalog(["a: b", "b: a"]))).toThrow(/a → b → a/);
  });
});

describe("the lists for the agent", () => {
  test("name each module, its file and all it needs, one a line", () => {
    const kernel = catalog(["virtio_blk: virtio_ring", "virtio_ring:"]);
    expect(dependencyList(resolveModules([{ name: "virtio_blk" }], kernel))).toBe(
      "virtio_ring kernel/virtio_ring.ko\nvirtio_blk kernel/virtio_blk.ko virtio_ring\n",
    );
  });

  test("name what the kernel may ask for a module by, unless that is another module", () => {
    const kernel = catalog(["a:", "b:", "c:"]);
    const resolved = resolveModules([{ name: "a" }, { name: "b" }], kernel).map(({ module, before }) => ({
      module: { ...module, aliases: ["b", "net_pf_1", `only_${module.name}`] },
      before,
    }));
    expect(aliasList(resolved)).toBe("net_pf_1 a\nonly_a a\nonly_b b\n");
  });

  test("load early what reaches the host and nothing that is built in", () => {
    const kernel = catalog(["virtio_pci:"], ["virtio_console"]);
    const resolved = resolveModules([{ name: "virtio_pci" }], kernel);
    expect(loadList(GUEST_MODULES, "early", resolved)).toBe("virtio_pci\n");
    expect(loadList(GUEST_MODULES, "late", resolved)).toBe("");
  });

  test("give a reason for every module, and no module twice", () => {
    const all = GUEST_MODULES.map(({ name }) => name);
    expect(all).toEqual([...new Set(all)]);
    for (const { name, why } of GUEST_MODULES) expect(why, name).not.toBe("");
  });
});
