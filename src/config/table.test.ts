import { describe, expect, test } from "vitest";
import { annotationNames } from "./annotations.ts";
import { SECTIONS, type SectionName } from "./configuration.ts";
import { DRIVERS, defaultFor, type Key } from "./key.ts";
import { parseConfiguration } from "./parse-configuration.ts";
import { toToml } from "./sample.ts";
import { checkValue } from "./value.ts";

const ROWS = (Object.keys(SECTIONS) as SectionName[]).flatMap((section) =>
  Object.entries<Key>(SECTIONS[section]).map(([name, key]) => ({ section, name, key })),
);
const FILE_ROWS = ROWS.filter(({ key }) => key.annotationOnly !== true);

const HEADERS: Readonly<Record<SectionName, string>> = {
  hypervisor: "hypervisor.qemu",
  factory: "factory",
  agent: "agent.kata",
  memAgent: "agent.kata.mem_agent",
  runtime: "runtime",
};

/** A file that sets one key. */
function fileWith(section: SectionName, name: string, value: string): string {
  const qemu = section === "hypervisor" ? "" : "[hypervisor.qemu]\n";
  return `${qemu}[${HEADERS[section]}]\n${name} = ${value}\n`;
}

const WRONG: Readonly<Record<Key["kind"], string>> = {
  text: "1",
  flag: '"true"',
  integer: "1.5",
  number: '"1"',
  texts: '"one"',
  tables: "[1]",
  table: "[]",
};

describe("each row of the table", () => {
  test.each(ROWS)("$section $name has a default for every driver that it accepts itself", ({ key }) => {
    for (const driver of Object.values(DRIVERS)) {
      expect(checkValue(key, defaultFor(key, driver))).toEqual({ ok: true, value: defaultFor(key, driver) });
    }
  });

  test.each(ROWS)("$section $name says in one sentence what it is for", ({ key }) => {
    expect(key.doc).toMatch(/^(?:[A-Z0-9`]|dm-verity).*\.$/s);
    expect(key.doc).not.toMatch(/\n/);
  });

  test.each(FILE_ROWS)("$section $name is read from a file", ({ section, name, key }) => {
    const value = defaultFor(key, "qemu");
    const parsed = parseConfiguration(fileWith(section, name, toToml(value)), "/c.toml", { strict: true });
    expect(Reflect.get(parsed[section], name)).toEqual(value);
  });

  test.each(FILE_ROWS)(
    "$section $name is refused with a value of the wrong type",
    ({ section, name, key }) => {
      const parse = () => parseConfiguration(fileWith(section, name, WRONG[key.kind]), "/c.toml");
      expect(parse).toThrowError(new RegExp(`^read configuration: /c\\.toml:\\d+:1: ${name}: expected `));
    },
  );

  test.each(
    FILE_ROWS.flatMap(({ section, name, key }) => [
      ...(key.min === undefined ? [] : [{ section, name, value: key.min - 1 }]),
      ...(key.max === undefined || key.max >= Number.MAX_SAFE_INTEGER
        ? []
        : [{ section, name, value: key.max + 1 }]),
    ]),
  )("$section $name is refused with $value, which is out of its bounds", ({ section, name, value }) => {
    const parse = () => parseConfiguration(fileWith(section, name, String(value)), "/c.toml");
    expect(parse).toThrowError(new RegExp(`: ${name}: ${value} is (below|above) `));
  });

  test.each(FILE_ROWS.filter(({ key }) => key.oneOf !== undefined))(
    "$section $name is refused with a word that it does not have",
    ({ section, name, key }) => {
      const value = key.kind === "texts" ? '["bogus"]' : '"bogus"';
      const parse = () => parseConfiguration(fileWith(section, name, value), "/c.toml");
      expect(parse).toThrowError(new RegExp(`: ${name}: expected one of .*, got text "bogus"`));
    },
  );

  test.each(
    FILE_ROWS.filter(({ key }) => key.path === true).flatMap((row) => [
      { ...row, value: "relative/path" },
      { ...row, value: "/up/../path" },
    ]),
  )("$section $name is refused with $value", ({ section, name, value }) => {
    const parse = () => parseConfiguration(fileWith(section, name, toToml(value)), "/c.toml");
    expect(parse).toThrowError(new RegExp(`: ${name}: expected a(n absolute)? path`));
  });

  test.each(ROWS.filter(({ key }) => key.annotationOnly === true))(
    "$section $name, which pods alone set, is unknown in a file",
    ({ section, name }) => {
      const parse = () => parseConfiguration(fileWith(section, name, '"x"'), "/c.toml", { strict: true });
      expect(parse).toThrowError(/unknown key/);
    },
  );

  test("names the list of its allowed values as another row", () => {
    const lists = new Set(ROWS.filter(({ key }) => key.kind === "texts").map(({ name }) => name));
    const named = ROWS.flatMap(({ key }) => key.validBy ?? []);
    expect(named.filter((name) => !lists.has(name))).toEqual([]);
  });

  test("has letters of drivers that there are", () => {
    const letters = new Set(ROWS.flatMap(({ key }) => [...(key.drivers ?? "")]));
    expect([...letters].filter((letter) => !Object.hasOwn(DRIVERS, letter))).toEqual([]);
  });

  test("has annotations that no other row has", () => {
    const names = ROWS.flatMap(({ section, name, key }) => annotationNames(section, name, key));
    expect(names.length).toBe(new Set(names).size);
  });
});
