/** What the documents name is there. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { DEBIAN_PACKAGES } from "../scripts/setup/debian-packages.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGES = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith(".md"),
);

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

const project = JSON.parse(read("package.json")) as {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

describe.each(PAGES)("%s", (page) => {
  const text = read(page);

  test("links to pages that there are", () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = ""]) => target);
    expect(links.filter((target) => !existsSync(join(ROOT, dirname(page), target)))).toEqual([]);
  });

  test("names scripts of package.json that there are", () => {
    const names = [...text.matchAll(/\bnpm (?:run ([\w:-]+)|(test))\b/g)].map(
      ([, run, plain]) => run ?? plain ?? "",
    );
    expect(names.filter((name) => project.scripts[name] === undefined)).toEqual([]);
  });

  test("names files of the source tree that there are", () => {
    const paths = [...text.matchAll(/`((?:src|scripts|tests|native|proto|docs)\/[\w./-]+)`/g)].map(
      ([, path = ""]) => path,
    );
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

describe("docs/dependencies.md", () => {
  const text = read("docs/dependencies.md");

  test.each(Object.entries({ ...project.dependencies, ...project.devDependencies }))(
    "has %s in version %s, which is exact",
    (name, version) => {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
      const row = text.split("\n").find((line) => new RegExp(`^\\| \`?${name}\`? `).test(line));
      expect(row ?? `no row for ${name}`).toContain(`| ${version}`);
    },
  );

  test.each(DEBIAN_PACKAGES)("has Debian's $name", ({ name }) => {
    expect(text).toContain(`\`${name}\``);
  });

  test("has the engine's version", () => {
    const pinned = /QUICKJS_VERSION = "([^"]+)"/.exec(read("scripts/build/engine.ts"))?.[1];
    expect(text).toContain(`| ${pinned}, Debian's source package`);
  });
});
