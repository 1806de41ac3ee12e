import { describe, expect, test } from "vitest";
import { annotationNames } from "./annotations.ts";
import { SECTIONS, type SectionName } from "./configuration.ts";
import { renderDocumentation } from "./documentation.ts";
import type { Key } from "./key.ts";
import { parseConfiguration } from "./parse-configuration.ts";

const PAGE = renderDocumentation();

describe("docs/configuration.md", () => {
  test("is what the table makes", async () => {
    await expect(PAGE).toMatchFileSnapshot("../../docs/configuration.md");
  });

  test.each(Object.keys(SECTIONS) as SectionName[])(
    "has a row for every key of %s, with its annotations",
    (section) => {
      for (const [name, key] of Object.entries<Key>(SECTIONS[section])) {
        const rows = PAGE.split("\n").filter((line) => new RegExp(`^\\| (\\*\\*)?\`${name}\``).test(line));
        expect(rows.length, name).toBeGreaterThan(0);
        for (const annotation of annotationNames(section, name, key)) {
          expect(
            rows.some((row) => row.includes(`\`${annotation}\``)),
            annotation,
          ).toBe(true);
        }
      }
    },
  );

  test("begins with a file that is read as it is", () => {
    const sample = /```toml\n(.*?)```/s.exec(PAGE)?.[1] ?? "";
    expect(parseConfiguration(sample, "/c.toml", { strict: true }).hypervisor.default_memory).toBe(512);
  });
});
