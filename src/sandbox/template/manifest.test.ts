import { expect, test } from "vitest";
import { formatManifest, parseManifest, type TemplateManifest } from "./manifest.ts";
import { templateName } from "./template-name.ts";

const MANIFEST: TemplateManifest = {
  version: 1,
  fingerprint: "-m 256M\n/boot/vmlinux 0:1/2 3 4.5",
  memoryMib: 256,
  madeAt: 1_700_000_000_000,
  memory: { inode: 7, size: 268_435_456, modifiedAt: 1_700_000_000_000.125 },
  state: { inode: 8, size: 347_000, modifiedAt: 1_700_000_000_001.5 },
};

test("parseManifest() reads what formatManifest() writes, to the last bit of a time", () => {
  expect(parseManifest(formatManifest(MANIFEST))).toEqual(MANIFEST);
});

test.each([
  ["nothing", ""],
  ["half a manifest", formatManifest(MANIFEST).slice(0, 100)],
  ["another version", JSON.stringify({ ...MANIFEST, version: 2 })],
  ["a file without an inode", JSON.stringify({ ...MANIFEST, state: { size: 1, modifiedAt: 2 } })],
  ["a fingerprint that is no text", JSON.stringify({ ...MANIFEST, fingerprint: 5 })],
  ["null", "null"],
])("parseManifest() takes %s for none", (_what, text) => {
  expect(parseManifest(text)).toBeUndefined();
});

test("templateName() tells texts apart that differ in one character, and keeps to hexadecimal digits", () => {
  const texts = Array.from(
    { length: 2000 },
    (_, index) => `machine ${index} of many, with ${index % 7} cards`,
  );
  const names = texts.map(templateName);
  expect(new Set(names).size).toBe(texts.length);
  expect(names.every((name) => /^[0-9a-f]{16}$/.test(name))).toBe(true);
  expect(templateName(texts[0] ?? "")).toBe(names[0]);
});
