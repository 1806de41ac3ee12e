/** kata-rego under Node. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runKataRego } from "./kata-rego.ts";
import { nodeProviders } from "./node-providers.ts";

function listPolicies(path: string): string[] | undefined {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const below = join(path, entry.name);
    if (entry.isDirectory()) return listPolicies(below) ?? [];
    return entry.name.endsWith(".rego") ? [below] : [];
  });
}

process.exitCode = runKataRego(process.argv.slice(2), {
  readFile: (path) => readFileSync(path, "utf8"),
  writeFile: (path, text) => writeFileSync(path, text),
  listPolicies,
  writeOut: (text) => process.stdout.write(text),
  writeError: (text) => process.stderr.write(text),
  milliseconds: () => performance.now(),
  providers: nodeProviders(),
});
