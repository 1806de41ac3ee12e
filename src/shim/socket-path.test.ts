import { createHash } from "node:crypto";
import { posix } from "node:path";
import { expect, test } from "vitest";
import { shimSocketPath } from "./socket-path.ts";

const name = (...parts: string[]) =>
  createHash("sha256")
    .update(posix.join(...parts))
    .digest("hex");

test.each([
  ["/run/containerd/containerd.sock", "k8s.io", "abc"],
  ["/run//containerd/./x/../containerd.sock/", "default", "c-1"],
  ["", "default", "from-cri-o"],
  ["relative/../../containerd.sock", "n", "i"],
])("shimSocketPath() of %j, %j, %j is containerd's", (address, namespace, sandboxId) => {
  expect(shimSocketPath({ address, namespace, sandboxId })).toBe(
    `/run/containerd/s/${name(address, namespace, sandboxId)}`,
  );
});

test("shimSocketPath() lies in the directory that containerd asks for", () => {
  const place = { address: "/a.sock", namespace: "n", sandboxId: "i", directory: "/run/other" };
  expect(shimSocketPath(place)).toBe(`/run/other/${name("/a.sock", "n", "i")}`);
});
