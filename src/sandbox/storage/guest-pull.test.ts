import { expect, test } from "vitest";
import type { ContainerRequest } from "../types.ts";
import { pulledRootfs } from "./guest-pull.ts";

function request(annotations: Record<string, string>): ContainerRequest {
  return { id: "c1", bundle: "/b", spec: { ociVersion: "1.1.0", annotations }, rootfs: [] };
}

const NAME = "io.kubernetes.cri.image-name";
const TYPE = "io.kubernetes.cri.container-type";

test.each([
  ["the annotation of containerd", { [NAME]: "r/app:1" }, "", "r/app:1"],
  ["the annotation of CRI-O", { "io.kubernetes.cri-o.ImageName": "r/app:2" }, "", "r/app:2"],
  ["the snapshotter's description, where there is no annotation", {}, "r/app:3", "r/app:3"],
  ["the annotation, whatever the description says", { [NAME]: "r/app:1" }, "r/app:3", "r/app:1"],
  [
    "the pod's first container, whose image is in the guest",
    { [TYPE]: "sandbox", [NAME]: "r/x" },
    "",
    "pause",
  ],
])("pulledRootfs() names the image by %s", (_what, annotations, named, source) => {
  expect(pulledRootfs(request(annotations), named)).toEqual({
    driver: "image_guest_pull",
    driverOptions: [`image_guest_pull=${JSON.stringify({ metadata: annotations })}`],
    source,
    fstype: "overlay",
    options: [],
    mountPoint: "/run/kata-containers/c1/rootfs",
  });
});

test("pulledRootfs() tells the annotation that is missing", () => {
  expect(() => pulledRootfs(request({ [TYPE]: "container" }), "")).toThrow(
    expect.objectContaining({ code: "unsupported", hint: expect.stringContaining(NAME) }),
  );
});
