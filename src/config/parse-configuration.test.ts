import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { type Configuration, defaultConfiguration } from "./configuration.ts";
import { HYPERVISOR_KEYS } from "./hypervisor-keys.ts";
import { DRIVERS } from "./key.ts";
import { type ParseOptions, parseConfiguration } from "./parse-configuration.ts";
import { RUNTIME_KEYS } from "./runtime-keys.ts";
import { renderSample } from "./sample.ts";
import { MAX_SOURCE_LENGTH } from "./source.ts";

const FILE = "/etc/kata-containers/configuration.toml";
const MINIMAL = "[hypervisor.qemu]\n";

function parse(text: string, options: ParseOptions = {}): Configuration {
  return parseConfiguration(text, FILE, options);
}

/** The message that `text` is refused with. */
function refusal(text: string, options: ParseOptions = { strict: true }): string {
  try {
    parse(text, options);
  } catch (error) {
    expect(error).toBeInstanceOf(KataError);
    expect((error as KataError).code).toBe("invalid-configuration");
    return (error as KataError).message;
  }
  throw new Error(`accepted: ${text}`);
}

describe("parseConfiguration()", () => {
  test("fills in every default of the driver for a file that sets nothing", () => {
    for (const driver of Object.values(DRIVERS)) {
      expect(parse(`[hypervisor.${driver}]`)).toEqual({ ...defaultConfiguration(driver), sources: [FILE] });
    }
  });

  test("reads each section's keys into the configuration", () => {
    const configuration = parse(`
[hypervisor.qemu]
path = "/opt/qemu"
default_vcpus = 1.5
default_memory = 512
enable_annotations = ["kernel", "default_.*"]
guest_extension_images = [{ name = "gpu", path = "/gpu.img" }]
rootless_user = { uid = 1000 }
[hypervisor.qemu.factory]
enable_template = true
[agent.kata]
kernel_modules = ["overlay", "i915 enable_ppgtt=0"]
[agent.kata.mem_agent]
enable = true
[runtime]
internetworking_model = "none"
disable_new_netns = true
`);
    const defaults = defaultConfiguration("qemu");
    expect({ ...configuration, warnings: [] }).toEqual({
      ...defaults,
      sources: [FILE],
      hypervisor: {
        ...defaults.hypervisor,
        path: "/opt/qemu",
        default_vcpus: 1.5,
        default_memory: 512,
        enable_annotations: ["kernel", "default_.*"],
        guest_extension_images: [{ name: "gpu", path: "/gpu.img" }],
        rootless_user: { uid: 1000 },
      },
      factory: { ...defaults.factory, enable_template: true },
      agent: { ...defaults.agent, kernel_modules: ["overlay", "i915 enable_ppgtt=0"] },
      memAgent: { ...defaults.memAgent, mem_agent_enable: true },
      runtime: { ...defaults.runtime, internetworking_model: "none", disable_new_netns: true },
    });
  });

  test("takes the default initrd away when the file names an image", () => {
    const { image, initrd } = parse('[hypervisor.qemu]\nimage = "/guest.img"').hypervisor;
    expect({ image, initrd }).toEqual({ image: "/guest.img", initrd: "" });
  });

  test.each([
    ["the first table without a name", "[hypervisor.clh]\n[hypervisor.qemu]\n", "clh"],
    ["the named table", '[hypervisor.clh]\n[hypervisor.qemu]\n[runtime]\nhypervisor_name = "qemu"\n', "qemu"],
    ["a table under another of its names", "[hypervisor.cloud-hypervisor]\n", "clh"],
    [
      "a table by another of its names",
      '[hypervisor.qemu]\n[hypervisor.clh]\n[runtime]\nhypervisor_name = "cloud-hypervisor"',
      "clh",
    ],
    ["firecracker as fc", "[hypervisor.fc]\n", "firecracker"],
  ])("chooses the driver: %s", (_what, text, driver) => {
    expect(parse(text).driver).toBe(driver);
  });

  test("reads a file again that was made for a driver", () => {
    for (const driver of Object.values(DRIVERS)) {
      expect(parse(renderSample(driver), { strict: true })).toEqual({
        ...defaultConfiguration(driver),
        sources: [FILE],
      });
      // With every line in force, too. It then names an image as well as an initial RAM disk, both empty or not.
      const all = renderSample(driver).replace(/^#(\w+ = )/gm, "$1");
      expect(parse(all, { strict: true })).toEqual({ ...defaultConfiguration(driver), sources: [FILE] });
    }
  });
});

describe("a wrong file is refused with its place", () => {
  test.each([
    [
      "text that is no TOML",
      "[runtime]\n\nenable_debug = \n",
      /^read configuration: \/etc\/kata-containers\/configuration\.toml:3:\d+: .+ \(correct the TOML at that place\)$/,
    ],
    [
      "an unknown key",
      '[hypervisor.qemu]\n  kernle = "/x"\n',
      `read configuration: ${FILE}:2:3: unknown key in [hypervisor.qemu]: kernle (did you mean kernel?)`,
    ],
    [
      "an unknown key that is near to nothing",
      `${MINIMAL}zzzzzzzzzzzz = 1\n`,
      `read configuration: ${FILE}:2:1: unknown key in [hypervisor.qemu]: zzzzzzzzzzzz (docs/configuration.md lists all names)`,
    ],
    [
      "an unknown table",
      `${MINIMAL}[runtme]\n`,
      `read configuration: ${FILE}:2:1: unknown table: runtme (did you mean runtime?)`,
    ],
    [
      "an unknown driver",
      "[hypervisor.qmu]\n",
      `read configuration: ${FILE}:1:1: there is no driver qmu (did you mean qemu?)`,
    ],
    [
      "no driver",
      "[runtime]\n",
      `read configuration: ${FILE}: there is no table [hypervisor.NAME] (add [hypervisor.qemu] and its keys)`,
    ],
    [
      "a driver without its table",
      `${MINIMAL}[runtime]\nhypervisor_name = "clh"\n`,
      `read configuration: ${FILE}:3:1: hypervisor_name: there is no table [hypervisor.clh] (docs/configuration.md lists all names)`,
    ],
    [
      "a key where a table belongs",
      `runtime = 1\n${MINIMAL}`,
      `read configuration: ${FILE}:1:1: runtime: expected a table (write [runtime] and its keys below it)`,
    ],
    [
      "a value of the wrong type",
      '[hypervisor.qemu]\n\ndefault_vcpus = "two"\n',
      `read configuration: ${FILE}:3:1: default_vcpus: expected a number, got text "two" (correct the value; docs/configuration.md says what each key takes)`,
    ],
    [
      "a value in an inline table",
      'agent = { kata = { dial_timeout = "x" } }\n[hypervisor.qemu]\n',
      `read configuration: ${FILE}:1:1: dial_timeout: expected an integer, got text "x" (correct the value; docs/configuration.md says what each key takes)`,
    ],
    [
      "a value with a dotted key",
      `${MINIMAL}[agent]\nkata.dial_timeout = 0\n`,
      `read configuration: ${FILE}:3:1: dial_timeout: 0 is below 1 (correct the value; docs/configuration.md says what each key takes)`,
    ],
  ])("%s", (_what, text, message) => {
    if (typeof message === "string") expect(refusal(text)).toBe(message);
    else expect(refusal(text)).toMatch(message);
  });

  test("a text that is too long", () => {
    expect(refusal("#".repeat(MAX_SOURCE_LENGTH + 1))).toContain(FILE);
  });

  test("a text that would change the prototype of all objects", () => {
    refusal(`${MINIMAL}[__proto__]\npolluted = true\n`);
    refusal(`${MINIMAL}__proto__ = { polluted = true }\n`);
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  test("nested deeper than any configuration is", () => {
    refusal(`${MINIMAL}x = ${"[".repeat(10_000)}${"]".repeat(10_000)}\n`);
  });

  test("any text: a configuration or an error of ours, never anything else", () => {
    const word = fc.constantFrom(
      "[hypervisor.qemu]",
      "[runtime]",
      "[agent.kata]",
      "[",
      "]",
      "=",
      "{",
      "}",
      '"',
      "'''",
      "\n",
      ",",
      "default_vcpus",
      "image",
      "1e999",
      "-1",
      "true",
      "1979-05-27",
      "\u0000",
      "é",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), (words) => {
        try {
          parse(words.join(" "), { strict: true });
        } catch (error) {
          expect(error).toBeInstanceOf(KataError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("without strictness", () => {
  test("unknown names become warnings with the nearest known name", () => {
    const { warnings, ...rest } = parse(
      `${MINIMAL}kernle = "/x"\n[hypervisor.qemu.factry]\nx = 1\n[agent.kata]\nbogus_bogus_bogus = 1\n`,
    );
    expect(warnings).toEqual([
      `${FILE}:2:1: unknown key in [hypervisor.qemu]: kernle; did you mean kernel?`,
      `${FILE}:3:1: unknown key in [hypervisor.qemu]: factry; did you mean factory?`,
      `${FILE}:6:1: unknown key in [agent.kata]: bogus_bogus_bogus; docs/configuration.md lists all names`,
    ]);
    expect({ ...rest, warnings: [] }).toEqual({ ...defaultConfiguration("qemu"), sources: [FILE] });
  });

  test("a value without effect becomes a warning", () => {
    expect(parse(`${MINIMAL}extra_monitor_socket = "qmp"\n`).warnings).toContain(
      `${FILE}:2:1: extra_monitor_socket: it has no effect without enable_debug`,
    );
  });

  test.each([
    ["root-port", "pcie_root_port"],
    ["switch-port", "pcie_switch_port"],
  ])("VFIO devices for a %s become a warning without %s", (port, key) => {
    const lines = `${MINIMAL}hot_plug_vfio = "${port}"\n`;
    const warning = `${FILE}:2:1: hot_plug_vfio: there is no ${port} without ${key}`;
    expect(parse(lines).warnings).toContain(warning);
    expect(parse(`${lines}${key} = 1\n`).warnings).not.toContain(warning);
  });

  test("a key without effect becomes a warning with the reason, unless it says what goes without saying", () => {
    expect(parse(`${MINIMAL}memory_offset = 1024\nmsize_9p = 8192\n`).warnings).toEqual([
      `${FILE}:2:1: memory_offset: it has no effect: ${HYPERVISOR_KEYS.memory_offset.withoutEffect}`,
    ]);
    expect(parse(`${MINIMAL}[runtime]\nexperimental = []\njaeger_endpoint = "http://x"\n`).warnings).toEqual([
      `${FILE}:4:1: jaeger_endpoint: it has no effect: ${RUNTIME_KEYS.jaeger_endpoint.withoutEffect}`,
    ]);
  });

  test("a key of other monitors becomes a warning", () => {
    expect(parse('[hypervisor.clh]\nentropy_source = "/dev/random"\n').warnings).toEqual([
      `${FILE}:2:1: entropy_source: it has no effect with clh: it is a key of qemu, firecracker, stratovirt`,
    ]);
    expect(parse('[hypervisor.clh]\nentropy_source = "/dev/urandom"\n').warnings).toEqual([]);
  });
});

describe("drop-ins", () => {
  const directory = "/etc/kata-containers/config.d";

  test("are laid over the main file in the order of their names, whatever order they come in", () => {
    const configuration = parse(`${MINIMAL}default_memory = 512\nkernel_params = "main"\n`, {
      dropIns: [
        { name: `${directory}/90-last.toml`, text: "[hypervisor.qemu]\ndefault_memory = 1024\n" },
        {
          name: `${directory}/10-first.toml`,
          text: "[hypervisor.qemu]\ndefault_memory = 768\ndefault_vcpus = 3\n",
        },
        { name: `${directory}/50-other.toml`, text: "[runtime]\nenable_debug = true\n" },
      ],
    });
    expect(configuration.sources).toEqual([
      FILE,
      `${directory}/10-first.toml`,
      `${directory}/50-other.toml`,
      `${directory}/90-last.toml`,
    ]);
    const { default_memory, default_vcpus, kernel_params } = configuration.hypervisor;
    expect({ default_memory, default_vcpus, kernel_params }).toEqual({
      default_memory: 1024,
      default_vcpus: 3,
      kernel_params: "main",
    });
    expect(configuration.runtime.enable_debug).toBe(true);
  });

  test("replace a list as a whole", () => {
    const dropIns = [
      { name: `${directory}/a.toml`, text: '[hypervisor.qemu]\nenable_annotations = ["x"]\n' },
    ];
    expect(
      parse(`${MINIMAL}enable_annotations = ["y", "z"]\n`, { dropIns }).hypervisor.enable_annotations,
    ).toEqual(["x"]);
  });

  test("are named in an error about their values", () => {
    const dropIns = [{ name: `${directory}/a.toml`, text: "\n[hypervisor.qemu]\ndefault_memory = -1\n" }];
    expect(refusal(`${MINIMAL}default_memory = 512\n`, { dropIns })).toContain(
      `${directory}/a.toml:3:1: default_memory: -1 is below 0`,
    );
  });

  test("that are no TOML are named with line and column", () => {
    const dropIns = [{ name: `${directory}/a.toml`, text: "[hypervisor.qemu\n" }];
    expect(refusal(MINIMAL, { dropIns })).toMatch(/\/etc\/kata-containers\/config\.d\/a\.toml:1:\d+: /);
  });
});
