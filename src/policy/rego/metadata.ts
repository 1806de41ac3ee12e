/** `# METADATA` comments, which rules read through `rego.metadata`. Source: OPA policy language, "Metadata". */
import type { Module, Rule } from "./ast.ts";
import { equalValues, isArray, RegoObject, type Value } from "./values.ts";

/** Reads the YAML of an annotation; throws if it is none. */
export type MetadataReader = (yaml: string) => Value;

interface Annotation {
  readonly value: RegoObject;
  readonly scope: string;
  /** Line of the statement it belongs to. */
  readonly line: number;
  /** Names of that package or rule below `data`. */
  readonly path: readonly Value[];
}

/** The annotations of all modules; none if there is no reader. */
export type Annotations = ReadonlyMap<Module, readonly Annotation[]>;

export function readAnnotations(modules: readonly Module[], read: MetadataReader | undefined): Annotations {
  return new Map(read ? modules.map((module) => [module, findAnnotations(module, read)]) : []);
}

/** What `rego.metadata.rule()` and `rego.metadata.chain()` give in each rule of a module. */
export function moduleMetadata(
  module: Module,
  annotations: Annotations,
): (rule: Rule) => { readonly rule: Value; readonly chain: Value } {
  const own = annotations.get(module) ?? [];
  const all = [...annotations.values()].flat();
  return (rule) => {
    const path = rulePath(module, rule);
    const packagePath = module.package;
    const forRule = own.find(({ scope, line }) => scope === "rule" && line === rule.at.line);
    const around = all
      .filter(
        ({ scope, path: of }) =>
          (scope === "document" && isSamePath(of, path)) ||
          (scope === "package" && isSamePath(of, packagePath)) ||
          (scope === "subpackages" && isSamePath(of, packagePath.slice(0, of.length))),
      )
      .sort((a, b) => SCOPES.indexOf(a.scope) - SCOPES.indexOf(b.scope) || b.path.length - a.path.length);
    return {
      rule: forRule?.value ?? new RegoObject(),
      chain: [link(path, forRule), ...around.map((annotation) => link(annotation.path, annotation))],
    };
  };
}

/** The inner ones first, as a chain lists them. */
const SCOPES = ["rule", "document", "package", "subpackages"];

function rulePath(module: Module, rule: Rule): Value[] {
  const names = rule.head.path.flatMap((step) => (step.kind === "scalar" ? [step.value] : []));
  return [...module.package, ...names];
}

function isSamePath(a: readonly Value[], b: readonly Value[]): boolean {
  return equalValues(a, b);
}

function link(path: readonly Value[], annotation: Annotation | undefined): Value {
  const entry = new RegoObject();
  entry.set("path", path);
  if (annotation) entry.set("annotations", annotation.value);
  return entry;
}

/** Authors may be written as `Name <address>`. */
function author(value: Value): Value {
  if (typeof value !== "string") return value;
  const at = value.lastIndexOf("<");
  const entry = new RegoObject();
  if (at < 0 || !value.endsWith(">")) {
    entry.set("name", value.trim());
    return entry;
  }
  if (at > 0) entry.set("name", value.slice(0, at).trim());
  entry.set("email", value.slice(at + 1, -1));
  return entry;
}

function findAnnotations(module: Module, read: MetadataReader): Annotation[] {
  const found: Annotation[] = [];
  const { comments } = module;
  for (let i = 0; i < comments.length; i++) {
    const first = comments[i];
    if (first?.text.trim() !== "METADATA" || !first.alone) continue;
    const lines: string[] = [];
    let { line } = first.at;
    for (let next = comments[i + 1]; next?.alone && next.at.line === line + 1; next = comments[++i + 1]) {
      lines.push(next.text);
      line++;
    }
    const value = read(dedent(lines));
    const target = nextStatement(module, line);
    if (!(value instanceof RegoObject) || isArray(value) || target === undefined) continue;
    const isPackage = target === module.packageAt.line;
    const scope = value.get("scope");
    const settled = value.copy();
    const authors = settled.get("authors");
    if (isArray(authors)) settled.set("authors", authors.map(author));
    const rule = module.rules.find(({ at }) => at.line === target);
    if (scope === undefined) settled.set("scope", isPackage ? "package" : "rule");
    found.push({
      value: settled,
      scope: typeof scope === "string" ? scope : isPackage ? "package" : "rule",
      line: target,
      path: isPackage || !rule ? module.package : rulePath(module, rule),
    });
  }
  return found;
}

function dedent(lines: readonly string[]): string {
  const indents = lines
    .filter((line) => line.trim() !== "")
    .map((line) => line.length - line.trimStart().length);
  const indent = Math.min(...indents);
  return lines.map((line) => line.slice(Number.isFinite(indent) ? indent : 0)).join("\n");
}

function nextStatement(module: Module, line: number): number | undefined {
  const lines = [module.packageAt.line, ...module.rules.map((rule) => rule.at.line)].filter(
    (at) => at > line,
  );
  return lines.length === 0 ? undefined : Math.min(...lines);
}
