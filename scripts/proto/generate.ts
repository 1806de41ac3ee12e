/**
 * `npm run generate`: `proto/` as TypeScript in `build/generated/`.
 *
 * Only files whose text changes are written, so that watchers and incremental builds see no change where there is none.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { emitModule } from "./emit-module.ts";
import { readProtoFiles } from "./link.ts";
import { moduleName } from "./names.ts";

/** Writes the modules, and removes those that have no .proto file any more. @returns what was changed. */
export function generate(root: string): string[] {
  const output = join(root, "build/generated");
  mkdirSync(output, { recursive: true });
  const files = readProtoFiles(join(root, "proto"));
  const modules = new Map<string, string>();
  for (const file of files) {
    const name = `${moduleName(file.path)}.ts`;
    if (modules.has(name)) throw new Error(`${file.path}: another file has the module ${name}`);
    modules.set(name, emitModule(file, files));
  }
  const present = readdirSync(output);
  const changed: string[] = [];
  for (const [name, text] of modules) {
    if (present.includes(name) && readFileSync(join(output, name), "utf8") === text) continue;
    writeFileSync(join(output, name), text);
    changed.push(name);
  }
  for (const name of present) {
    if (modules.has(name)) continue;
    rmSync(join(output, name), { recursive: true });
    changed.push(name);
  }
  return changed;
}

if (process.argv[1] === import.meta.filename) {
  const changed = generate(join(import.meta.dirname, "../.."));
  console.error(
    `build/generated: ${changed.length === 0 ? "up to date" : `${changed.length} files changed`}`,
  );
}
