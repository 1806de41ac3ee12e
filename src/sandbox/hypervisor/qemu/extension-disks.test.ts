import { expect, test } from "vitest";
import { extensionDisks } from "./extension-disks.ts";

test("extensionDisks() makes a read-only disk of each image, with its serial number", () => {
  const extensions = [{ name: "tools", path: "/a,b.img", verityParameters: "" }];
  expect(extensionDisks({ extensions }, "virtio-blk-pci")).toEqual([
    "-blockdev",
    "driver=file,node-name=extension-tools-file,filename=/a,,b.img,read-only=on",
    "-blockdev",
    "driver=raw,node-name=extension-tools-node,file=extension-tools-file,read-only=on",
    "-device",
    "virtio-blk-pci,id=extension-tools,drive=extension-tools-node,serial=extension-tools",
  ]);
});
