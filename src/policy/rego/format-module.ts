/** Modules in one style: tabs, `:=`, one blank line between rules. Comments stay where they are. */
import type { Comment, Dialect, Module, Position, Rule, Term } from "./ast.ts";
import { TermFormatter } from "./format-terms.ts";
import { parseModule } from "./parse-modules.ts";

/**
 * The text of a policy in standard style.
 *
 * A rule with comments inside keeps its own layout. The result means the same: it is parsed again and compared.
 *
 * @throws KataError `policy-syntax` if the text is no policy.
 */
export function formatModule(file: string, text: string, dialect: Dialect): string {
  const module = parseModule(file, text, dialect);
  const formatted = new ModuleFormatter(module, text.split(/\r?\n/)).text();
  const again = parseModule(file, formatted, dialect);
  return meaning(again) === meaning(module) ? formatted : text;
}

/** What a module says, without the places where it says it. */
function meaning(module: Module): string {
  const { rules, imports } = module;
  return JSON.stringify({ package: module.package, imports, rules }, (key, value: unknown) => {
    if (key === "at" || key === "endLine") return undefined;
    if (typeof value === "bigint") return `${value}`;
    // Names of wildcards hold their place.
    if (key === "name" && typeof value === "string" && value.startsWith("$")) return "_";
    return value;
  });
}

class ModuleFormatter {
  private readonly module: Module;
  private readonly lines: readonly string[];
  private readonly terms: TermFormatter;
  /** Comments before the next statement. */
  private comments: readonly Comment[];

  constructor(module: Module, lines: readonly string[]) {
    this.module = module;
    this.lines = lines;
    this.comments = module.comments;
    this.terms = new TermFormatter((at) => this.sourceAt(at));
  }

  text(): string {
    const { module } = this;
    const blocks = [
      `${this.commentsBefore(module.packageAt.line)}package ${pathText(module.package)}${this.trailing(module.packageAt.line)}`,
    ];
    const imports = module.imports.map(({ path, alias, at }) => {
      const name = alias === undefined || alias === path.at(-1) ? "" : ` as ${alias}`;
      return `${this.commentsBefore(at.line)}import ${pathText(path)}${name}${this.trailing(at.line)}`;
    });
    if (imports.length > 0) blocks.push(imports.join("\n"));
    let previousEnd = 0;
    for (const rule of module.rules) {
      // `p { a } { b }` is two rules on one stretch of text.
      if (rule.at.line <= previousEnd) continue;
      blocks.push(this.commentsBefore(rule.at.line) + this.rule(rule));
      previousEnd = this.endOf(rule);
    }
    const rest = this.commentsBefore(Number.POSITIVE_INFINITY).trimEnd();
    if (rest !== "") blocks.push(rest);
    return `${blocks.join("\n\n")}\n`;
  }

  private sourceAt(at: Position): string {
    const line = this.lines[at.line - 1] ?? "";
    return [line.slice(at.column - 1), ...this.lines.slice(at.line, at.line + 1)].join("\n");
  }

  /** Last line of the rule and of the further bodies that share its text. */
  private endOf(rule: Rule): number {
    const sharing = this.module.rules.filter((other) => other.head === rule.head);
    return Math.max(...sharing.map((other) => other.endLine));
  }

  private commentsBefore(line: number): string {
    const before = this.comments.filter((comment) => comment.at.line < line);
    this.comments = this.comments.filter((comment) => comment.at.line >= line);
    let text = "";
    let last = 0;
    for (const comment of before) {
      if (last > 0 && comment.at.line > last + 1) text += "\n";
      text += `${commentText(comment)}\n`;
      last = comment.at.line;
    }
    if (last > 0 && Number.isFinite(line) && last + 1 < line) text += "\n";
    return text;
  }

  private trailing(line: number): string {
    const comment = this.comments.find((one) => one.at.line === line);
    if (!comment) return "";
    this.comments = this.comments.filter((one) => one !== comment);
    return ` ${commentText(comment)}`;
  }

  private rule(rule: Rule): string {
    const end = this.endOf(rule);
    const hasComments = this.comments.some(({ at }) => at.line >= rule.at.line && at.line <= end);
    const isShared = this.module.rules.some(
      (other) => other !== rule && other.at.line <= end && other.at.line >= rule.at.line,
    );
    if (hasComments || isShared) {
      this.comments = this.comments.filter(({ at }) => at.line > end);
      return this.lines
        .slice(rule.at.line - 1, end)
        .map((line) => line.trimEnd())
        .join("\n");
    }
    const head = (rule.isDefault ? "default " : "") + this.head(rule);
    return (
      head +
      this.bodyText(rule.body, rule.at.line) +
      rule.otherwise.map((branch) => this.branch(branch)).join("")
    );
  }

  private head({ head }: Rule): string {
    const [name, ...path] = head.path;
    let text = path.reduce(
      (so, step) => so + this.step(step),
      name?.kind === "scalar" ? `${name.value}` : "",
    );
    if (head.args) text += `(${head.args.map((arg) => this.terms.term(arg, "")).join(", ")})`;
    if (head.element) {
      // Without the import, v0 knows no other way to write a set's element.
      const isOld = this.module.dialect === "v0" && !this.usesKeyword("contains");
      text += isOld
        ? `[${this.terms.term(head.element, "")}]`
        : ` contains ${this.terms.term(head.element, "")}`;
    }
    if (head.value) text += ` ${this.assignment(head.assigned)} ${this.terms.term(head.value, "")}`;
    return text;
  }

  private assignment(assigned: boolean): string {
    return assigned ? ":=" : "=";
  }

  private step(step: Term): string {
    const isName =
      step.kind === "scalar" && typeof step.value === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(step.value);
    return isName ? `.${step.value}` : `[${this.terms.term(step, "")}]`;
  }

  private branch(branch: Rule["otherwise"][number]): string {
    const value = branch.value
      ? ` ${this.assignment(branch.assigned)} ${this.terms.term(branch.value, "")}`
      : "";
    return ` else${value}${this.bodyText(branch.body, branch.at.line)}`;
  }

  private bodyText(body: Rule["body"], line: number): string {
    if (!body) return "";
    const [first] = body;
    const keyword = this.usesKeyword("if") ? " if" : "";
    const isShort = keyword !== "" && body.length === 1 && first?.at.line === line && first.kind === "term";
    const text = isShort ? this.terms.literal(first, "") : "";
    if (isShort && !text.startsWith("{") && !text.includes("\n")) return ` if ${text}`;
    return `${keyword} {\n${this.terms.body(body, "\t")}}`;
  }

  private usesKeyword(word: string): boolean {
    if (this.module.dialect === "v1") return true;
    return this.module.imports.some(
      ({ path }) => path[0] === "future" && (path.length === 2 || path[2] === word),
    );
  }
}

function commentText({ text }: Comment): string {
  return `#${text.trimEnd()}`;
}

function pathText(path: readonly string[]): string {
  return path.reduce((text, name, i) =>
    /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || i === 0 ? `${text}.${name}` : `${text}[${JSON.stringify(name)}]`,
  );
}
