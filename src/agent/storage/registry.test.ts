import { expect, test } from "vitest";
import { StorageRegistry } from "./registry.ts";
import type { Storage, StorageContext } from "./storage.ts";

const CONTEXT: StorageContext = {
  hotplugTimeoutMs: 1,
  dataHub: { callMs: 1, pullMs: 1 },
  // No driver of these tests pulls images.
  images: () => Promise.reject(new Error("no test pulls images")),
  warn: () => undefined,
};

const storage: Storage = {
  driver: "fake",
  driverOptions: [],
  source: "s",
  fstype: "f",
  options: [],
  mountPoint: "/m",
  group: undefined,
};

test("StorageRegistry provides a storage once and takes it back when its last user releases it", async () => {
  const events: string[] = [];
  const registry = new StorageRegistry(CONTEXT, {
    fake: async ({ mountPoint }) => {
      events.push(`mount ${mountPoint}`);
      return () => void events.push(`unmount ${mountPoint}`);
    },
  });
  await Promise.all([registry.use(storage), registry.use(storage)]);
  await registry.release("/m");
  expect(events).toEqual(["mount /m"]);
  await registry.release("/m");
  await registry.release("/m");
  expect(events).toEqual(["mount /m", "unmount /m"]);
});

test("StorageRegistry forgets a storage when its driver fails", async () => {
  const registry = new StorageRegistry(CONTEXT, { fake: () => Promise.reject(new Error("no such disk")) });
  await expect(registry.use(storage)).rejects.toThrow("no such disk");
  expect(registry.mountPoints).toEqual([]);
});

test("StorageRegistry names its drivers when it is asked for another one", async () => {
  const registry = new StorageRegistry(CONTEXT);
  await expect(registry.use({ ...storage, driver: "toString" })).rejects.toMatchObject({
    code: "invalid-argument",
    hint: expect.stringContaining("virtio-fs"),
  });
});

test("a layer that is there is not another one's with its name", async () => {
  const registry = new StorageRegistry(CONTEXT, { blk: async () => () => undefined });
  const layer = (hash: string) => ({
    ...storage,
    driver: "blk",
    options: ["ro", `io.katacontainers.fs-opt.root-hash=${hash.repeat(32)}`],
  });
  await registry.use(layer("ab"));
  await registry.use(layer("ab"));
  await expect(registry.use(layer("cd"))).rejects.toMatchObject({ code: "failed-precondition" });
});
