import { expect, test } from "vitest";
import { parseImageReference } from "./image-reference.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;

test.each<[string, string, string, string, string?]>([
  ["busybox", "registry-1.docker.io", "library/busybox", "latest"],
  ["docker.io/busybox:1", "registry-1.docker.io", "library/busybox", "1"],
  ["me/app", "registry-1.docker.io", "me/app", "latest"],
  ["registry.k8s.io/pause:3.9", "registry.k8s.io", "pause", "3.9"],
  ["localhost/app", "localhost", "app", "latest"],
  ["localhost:5000/a/b/c:v1", "localhost:5000", "a/b/c", "v1"],
  ["10.0.2.2:5000/app", "10.0.2.2:5000", "app", "latest"],
  ["[fd00::1]:5000/app:2", "[fd00::1]:5000", "app", "2"],
  [`quay.io/x/y:3@${DIGEST}`, "quay.io", "x/y", DIGEST, "3"],
  [`quay.io/x/y@${DIGEST}`, "quay.io", "x/y", DIGEST],
])("parseImageReference() reads %s", (name, registry, repository, version, tag) => {
  const named = tag ?? (version === DIGEST ? undefined : version);
  expect(parseImageReference(name)).toEqual({ registry, repository, version, tag: named });
});

test.each([
  "",
  "UPPER",
  "a/../b",
  "registry.io/",
  "registry.io/a b",
  "registry.io/a:",
  "registry.io/a@sha256:short",
  `registry.io/a@${DIGEST}@${DIGEST}`,
  "registry.io/a\r\nHost: evil",
  "-registry.io/a",
  "registry.io:port/a",
  `registry.io/${"a".repeat(1100)}`,
])("parseImageReference() refuses %j", (name) => {
  expect(() => parseImageReference(name)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
});
