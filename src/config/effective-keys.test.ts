import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { SECTIONS, type SectionName } from "./configuration.ts";
import { EFFECTIVE_KEYS } from "./effective-keys.ts";

const ROWS = (Object.keys(SECTIONS) as SectionName[]).flatMap((section) =>
  Object.entries(SECTIONS[section]).map(([name, key]) => ({ section, name, key })),
);

const SOURCE = fileURLToPath(new URL("..", import.meta.url));

/** What the reader of the configuration itself goes by. */
const READ_HERE: Readonly<Partial<Record<SectionName, readonly string[]>>> = {
  hypervisor: [
    "enable_annotations",
    "valid_hypervisor_paths",
    "valid_jailer_paths",
    "valid_virtio_fs_daemon_paths",
    "valid_entropy_sources",
    "valid_vhost_user_store_paths",
  ],
  runtime: ["hypervisor_name", "agent_name"],
};

/** The keys of `section` that the programs of the pod's path read, as `section.key`. */
function keysRead(section: SectionName): Set<string> {
  const keys = new Set(READ_HERE[section] ?? []);
  const pattern = new RegExp(`\\b${section}\\.([a-z0-9_]+)`, "g");
  for (const room of ["sandbox", "shim"]) {
    for (const file of readdirSync(join(SOURCE, room), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts") || file.includes(".test.") || file.includes("testing/")) continue;
      for (const [, name = ""] of readFileSync(join(SOURCE, room, file), "utf8").matchAll(pattern)) {
        if (Object.hasOwn(SECTIONS[section], name)) keys.add(name);
      }
    }
  }
  return keys;
}

test.each(Object.keys(SECTIONS) as SectionName[])(
  "the effective keys of %s are those that something reads",
  (section) => {
    expect([...EFFECTIVE_KEYS[section]].sort()).toEqual([...keysRead(section)].sort());
  },
);

test.each(ROWS)("$section $name has an effect, or its row tells why not", ({ section, name, key }) => {
  const { withoutEffect } = key;
  expect(withoutEffect === undefined, withoutEffect).toBe(EFFECTIVE_KEYS[section].has(name));
  // The end of a sentence that others begin.
  if (withoutEffect !== undefined) expect(withoutEffect).toMatch(/^[`a-z].{15,}[^.]$/);
});
