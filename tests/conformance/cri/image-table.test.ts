import { describe, expect, test } from "vitest";
import { groups, parseReference, registriesOf, TEST_IMAGES, users } from "./image-table.ts";

describe("the images of critest", () => {
  test("have a name of their own each, in one of the registries that containerd is sent elsewhere for", () => {
    const names = TEST_IMAGES.map(({ reference }) => reference);
    expect(names).toEqual([...new Set(names)]);
    expect(registriesOf(TEST_IMAGES)).toEqual(["gcr.io", "registry.k8s.io"]);
  });

  test("are one image only where one image with several tags is what is tested", () => {
    const content = new Map<string, string[]>();
    for (const { reference, ...image } of TEST_IMAGES) {
      const key = JSON.stringify(image);
      content.set(key, [...(content.get(key) ?? []), parseReference(reference).repository]);
    }
    const shared = [...content.values()].filter((repositories) => repositories.length > 1);
    expect(shared).toEqual([Array(3).fill("k8s-staging-cri-tools/test-image-tags")]);
  });

  test("know the users that containers are to run as", () => {
    const named = TEST_IMAGES.flatMap(({ config, files }) => {
      const [user = ""] = (config.User ?? "").split(":");
      return user === "" || /^\d+$/.test(user) ? [] : [[user, files?.["etc/passwd"] ?? users()] as const];
    });
    expect(named.length).toBeGreaterThan(0);
    for (const [user, file] of named) expect(file).toMatch(new RegExp(`^${user}:x:`, "m"));
  });
});

describe("parseReference()", () => {
  test("takes a reference apart", () => {
    expect(parseReference("registry.k8s.io/e2e-test-images/busybox:1.29-2")).toEqual({
      registry: "registry.k8s.io",
      repository: "e2e-test-images/busybox",
      tag: "1.29-2",
    });
  });

  test.each(["busybox:1", "registry.k8s.io/busybox", "registry.k8s.io/busybox@sha256:00", "/a:1"])(
    "refuses %s",
    (reference) => {
      expect(() => parseReference(reference)).toThrow("expected REGISTRY/NAME:TAG");
    },
  );
});

test("users() and groups() add lines to those of every image", () => {
  expect(users("a:x:1:1::/:/bin/sh")).toMatch(/^root:x:0:0:.*\n[\s\S]*\na:x:1:1::\/:\/bin\/sh\n$/);
  expect(groups("b:x:5:")).toMatch(/^root:x:0:\n[\s\S]*\nb:x:5:\n$/);
});
