import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { annotationNames, applyAnnotations, matchesGlob } from "./annotations.ts";
import { type Configuration, SECTIONS } from "./configuration.ts";
import type { Key } from "./key.ts";
import { parseConfiguration } from "./parse-configuration.ts";

const HYPERVISOR = "io.katacontainers.config.hypervisor.";
const RUNTIME = "io.katacontainers.config.runtime.";
const AGENT = "io.katacontainers.config.agent.";

/** A configuration that enables those annotations, with more lines of the hypervisor's table. */
function enabling(names: readonly string[], lines = ""): Configuration {
  const text = `[hypervisor.qemu]\nenable_annotations = ${JSON.stringify(names)}\n${lines}\n`;
  return parseConfiguration(text, "/c.toml", { strict: true });
}

function refusal(configuration: Configuration, annotations: Readonly<Record<string, string>>): KataError {
  try {
    applyAnnotations(configuration, annotations);
  } catch (error) {
    if (error instanceof KataError) return error;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(annotations)}`);
}

/** Every annotation of the table. */
const ALL = (["hypervisor", "runtime", "agent"] as const).flatMap((section) =>
  Object.entries<Key>(SECTIONS[section]).flatMap(([name, key]) =>
    annotationNames(section, name, key).map((annotation) => ({ annotation, section, name, key })),
  ),
);

/** A value of the key's type as an annotation has it, another than the default where there is one. */
function sampleText(key: Key): string {
  const value = sampleValue(key);
  if (key.kind === "texts" && key.separator !== undefined) return (value as string[]).join(key.separator);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function sampleValue(key: Key): Key["default"] {
  switch (key.kind) {
    case "text":
      if (key.podItems !== undefined)
        return key.podItems.some((item) => item.test("nosmm")) ? "nosmm" : "pmu=on";
      return key.oneOf?.at(-1) ?? (key.path === true ? "/some/path" : "some");
    case "flag":
      return !key.default;
    case "integer":
    case "number":
      return key.default + 1 <= (key.max ?? Number.POSITIVE_INFINITY) ? key.default + 1 : key.default - 1;
    case "texts":
      return key.podItems === undefined ? [key.oneOf?.[0] ?? "one"] : ["--thread-pool-size=4"];
    case "tables":
      return [{ name: "one" }];
    case "table":
      return { name: "one" };
  }
}

/** What else has to be so that the annotation's value makes sense. */
const COMPANIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  [`${HYPERVISOR}shared_fs`]: { [`${HYPERVISOR}shared_fs`]: "none" },
  [`${HYPERVISOR}enable_vhost_user_store`]: { [`${HYPERVISOR}enable_hugepages`]: "true" },
  [`${HYPERVISOR}firmware_volume`]: { [`${HYPERVISOR}firmware`]: "/some/firmware" },
  [`${HYPERVISOR}numa_mapping`]: {},
  [`${HYPERVISOR}image`]: { [`${HYPERVISOR}image`]: "/some/image" },
  [`${HYPERVISOR}blk_logical_sector_size`]: { [`${HYPERVISOR}blk_logical_sector_size`]: "4096" },
  [`${HYPERVISOR}blk_physical_sector_size`]: { [`${HYPERVISOR}blk_physical_sector_size`]: "4096" },
  [`${RUNTIME}disable_new_netns`]: { [`${RUNTIME}internetworking_model`]: "none" },
  [`${RUNTIME}hypervisor_name`]: { [`${RUNTIME}hypervisor_name`]: "qemu" },
};

const PATHS = ["path", "jailer_path", "virtio_fs_daemon", "vhost_user_store_path", "entropy_source"];
const LISTS = [
  'valid_hypervisor_paths = ["/some/*"]',
  'valid_jailer_paths = ["/some/*"]',
  'valid_virtio_fs_daemon_paths = ["/some/*"]',
  'valid_vhost_user_store_paths = ["/some/*"]',
  'valid_entropy_sources = ["/some/*"]',
  "enable_numa = true",
].join("\n");

describe("an annotation", () => {
  test("exists for every path that has a list", () => {
    const listed = ALL.filter(({ key }) => key.validBy !== undefined).map(({ name }) => name);
    expect(new Set(listed)).toEqual(new Set(PATHS));
  });

  // One that has a single value has no other to change to.
  test.each(ALL.filter(({ key }) => key.oneOf?.length !== 1 || key.kind === "texts"))(
    "$annotation changes its key, and only that",
    ({ annotation, section, name, key }) => {
      const configuration = enabling([".*"], LISTS);
      const companions = COMPANIONS[annotation] ?? {};
      const text = companions[annotation] ?? sampleText(key);
      const before = applyAnnotations(
        configuration,
        Object.fromEntries(Object.entries(companions).filter(([other]) => other !== annotation)),
      );
      const after = applyAnnotations(configuration, { ...companions, [annotation]: text });
      const changed = Object.entries(after[section]).filter(
        ([each, value]) => JSON.stringify(value) !== JSON.stringify(Reflect.get(before[section], each)),
      );
      // An image takes the place of the initial RAM disk.
      const names = changed.map(([each]) => each).filter((each) => name !== "image" || each !== "initrd");
      expect(names).toEqual([name]);
    },
  );

  test.each(ALL.filter(({ section, key }) => section === "hypervisor" || key.guarded === true))(
    "$annotation is refused where it is not enabled",
    ({ annotation, key }) => {
      const error = refusal(enabling([]), { [annotation]: sampleText(key) });
      expect([error.code, error.object]).toEqual(["permission-denied", annotation]);
      expect(error.hint).toMatch(/enable_annotations/);
    },
  );

  test.each(ALL.filter(({ section, key }) => section !== "hypervisor" && key.guarded !== true))(
    "$annotation needs no enabling, as it does not reach the host",
    ({ annotation, key }) => {
      const text = COMPANIONS[annotation]?.[annotation] ?? sampleText(key);
      expect(() => applyAnnotations(enabling([]), { [annotation]: text })).not.toThrow();
    },
  );

  test.each(ALL.filter(({ key }) => !["text"].includes(key.kind) || key.oneOf !== undefined || key.path))(
    "$annotation is refused with a value of the wrong type",
    ({ annotation, key }) => {
      const wrong = key.kind === "texts" && key.separator !== undefined ? "a\0b" : "not any of these";
      expect(refusal(enabling([".*"], LISTS), { [annotation]: wrong }).code).toBe("invalid-argument");
    },
  );

  test.each(
    ALL.flatMap(({ annotation, key }) => [
      ...(key.min === undefined ? [] : [{ annotation, value: key.min - 1 }]),
      ...(key.max === undefined ? [] : [{ annotation, value: key.max + 1 }]),
    ]),
  )("$annotation is refused with $value, which is out of its bounds", ({ annotation, value }) => {
    expect(refusal(enabling([".*"]), { [annotation]: String(value) }).code).toBe("invalid-argument");
  });
});

describe("annotations and what is enabled", () => {
  test("a pattern is about the whole name", () => {
    const image = { [`${HYPERVISOR}disable_image_nvdimm`]: "true" };
    expect(refusal(enabling(["image"]), image).code).toBe("permission-denied");
    expect(applyAnnotations(enabling(["disable_.*"]), image).hypervisor.disable_image_nvdimm).toBe(true);
  });

  test("a pattern that is no regular expression is an error of the configuration", () => {
    const error = refusal(enabling(["("]), { [`${HYPERVISOR}kernel`]: "/k" });
    expect([error.code, error.object]).toEqual(["invalid-configuration", '"("']);
  });

  // CVE-2020-27151: annotations chose what the host ran as root.
  test.each(PATHS)("%s of a pod is refused unless it is listed", (name) => {
    const annotation = { [`${HYPERVISOR}${name}`]: "/tmp/evil" };
    expect(refusal(enabling([".*"], LISTS), annotation).code).toBe("permission-denied");
  });

  test.each(["/some/../tmp/evil", "some/path", "/some/\0path", "/some/deeper/path"])(
    "%j does not pass as a listed path",
    (path) => {
      expect(() => applyAnnotations(enabling([".*"], LISTS), { [`${HYPERVISOR}path`]: path })).toThrowError(
        KataError,
      );
    },
  );

  // CVE-2026-44210: an argument of virtiofsd shared the host's root.
  test.each([
    ["-o", "source=/"],
    ["--shared-dir=/"],
    ["--sandbox=none"],
    ["--thread-pool-size=1 -o source=/"],
  ])("arguments %j %j for the file server are refused even where the annotation is enabled", (...items) => {
    const error = refusal(enabling([".*"]), {
      [`${HYPERVISOR}virtio_fs_extra_args`]: JSON.stringify(items),
    });
    expect(error.code).toBe("permission-denied");
  });

  test.each([
    ["machine_accelerators", "firmware=/etc/shadow"],
    ["machine_accelerators", "nosmm,kernel=/etc/shadow"],
    ["machine_accelerators", ""],
    ["cpu_features", "pmu=off,model-id=x y"],
    ["cpu_features", "hv-spinlocks=/x"],
  ])("%s = %j of a pod is refused even where the annotation is enabled", (name, value) => {
    expect(refusal(enabling([".*"]), { [`${HYPERVISOR}${name}`]: value }).code).toBe("permission-denied");
  });

  // CVE-2026-50540: an annotation named the file that the configuration was read from.
  test.each(["config_path", "io.katacontainers.config_path", "io.kubernetes.cri.runtime.config_path"])(
    "%s does not change where the configuration comes from",
    (annotation) => {
      const configuration = enabling([".*"]);
      expect(applyAnnotations(configuration, { [annotation]: "/tmp/evil.toml" })).toBe(configuration);
    },
  );
});

describe("annotations and other values", () => {
  test("kernel parameters are put behind the node's", () => {
    const { hypervisor } = applyAnnotations(enabling(["kernel_params"], 'kernel_params = "a=1"'), {
      [`${HYPERVISOR}kernel_params`]: "b=2",
    });
    expect(hypervisor.kernel_params).toBe("a=1 b=2");
  });

  test("a pod that asks for an initial RAM disk gets no image, and the reverse", () => {
    const withImage = enabling([".*"], 'image = "/node.img"');
    const roots = ({ hypervisor: { image, initrd } }: Configuration) => ({ image, initrd });
    expect(roots(applyAnnotations(withImage, { [`${HYPERVISOR}initrd`]: "/pod" }))).toEqual({
      image: "",
      initrd: "/pod",
    });
    expect(roots(applyAnnotations(enabling([".*"]), { [`${HYPERVISOR}image`]: "/pod" }))).toEqual({
      image: "/pod",
      initrd: "",
    });
    const both = { [`${HYPERVISOR}image`]: "/a", [`${HYPERVISOR}initrd`]: "/b" };
    expect(refusal(withImage, both).code).toBe("invalid-argument");
  });

  test("modules are separated by semicolons", () => {
    const { agent } = applyAnnotations(enabling([]), { [`${AGENT}kernel_modules`]: "a x=1; b ;" });
    expect(agent.kernel_modules).toEqual(["a x=1", "b"]);
  });

  test("another driver than the node's is refused", () => {
    expect(refusal(enabling([]), { [`${RUNTIME}hypervisor_name`]: "clh" }).code).toBe("invalid-argument");
  });

  test("a value that contradicts another one is refused", () => {
    const error = refusal(enabling(["default_memory"]), { [`${HYPERVISOR}default_memory`]: "32" });
    expect([error.code, error.object]).toEqual(["invalid-argument", "default_memory"]);
  });

  test("an unknown name below our prefixes becomes a warning with the nearest one", () => {
    const { warnings } = applyAnnotations(enabling([]), { [`${HYPERVISOR}kernle`]: "/x" });
    expect(warnings).toEqual([`unknown annotation ${HYPERVISOR}kernle; did you mean ${HYPERVISOR}kernel?`]);
  });

  test("those of others leave the configuration as it is", () => {
    const configuration = enabling([]);
    const others = {
      "io.kubernetes.cri.container-type": "sandbox",
      "io.katacontainers.pkg.oci.bundle_path": "/b",
    };
    expect(applyAnnotations(configuration, others)).toBe(configuration);
  });

  test("the node's configuration stays as it was", () => {
    const configuration = enabling([".*"]);
    const before = structuredClone(configuration);
    applyAnnotations(configuration, { [`${HYPERVISOR}default_memory`]: "512" });
    expect(configuration).toEqual(before);
  });
});

describe("matchesGlob()", () => {
  test.each([
    ["/usr/bin/qemu*", "/usr/bin/qemu-system-x86_64", true],
    ["/usr/bin/*", "/usr/bin/sub/qemu", false],
    ["/usr/*/qemu", "/usr/bin/qemu", true],
    ["/usr/bin/qem?", "/usr/bin/qemu", true],
    ["/usr/bin?qemu", "/usr/bin/qemu", false],
    ["/opt/[ab]/qemu", "/opt/b/qemu", true],
    ["/opt/[!ab]/qemu", "/opt/b/qemu", false],
    ["/opt/[a-c]1", "/opt/b1", true],
    ["/opt/a+b", "/opt/a+b", true],
    ["/opt/a+b", "/opt/aab", false],
    ["/opt/a.b", "/opt/axb", false],
    ["/usr/bin/qemu", "/usr/bin/qemu\n", false],
    ["", "", true],
  ])("%j is about %j: %s", (glob, path, expected) => {
    expect(matchesGlob(glob, path)).toBe(expected);
  });

  test("a glob that makes no sense is an error of the configuration", () => {
    expect(() => matchesGlob("/opt/[z-a]", "/opt/a")).toThrowError(
      expect.objectContaining({ code: "invalid-configuration" }),
    );
  });
});

test("an annotation of a key without effect becomes a warning, unless it says what goes without saying", () => {
  const configuration = enabling(["memory_offset"]);
  const name = `${HYPERVISOR}memory_offset`;
  expect(applyAnnotations(configuration, { [name]: "1024" }).warnings).toEqual([
    `${name}: it has no effect: ${SECTIONS.hypervisor.memory_offset?.withoutEffect}`,
  ]);
  expect(applyAnnotations(configuration, { [name]: "0" }).warnings).toEqual([]);
});
