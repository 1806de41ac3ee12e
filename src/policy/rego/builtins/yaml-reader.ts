/** YAML as policies and their annotations use it: block and flow collections, all scalar styles, anchors. Source: YAML 1.2.2, core schema. */
import { parseNumber } from "../decimal.ts";
import { MAX_NESTING } from "../json.ts";
import { RegoObject, type Value } from "../values.ts";
import { FlowReader, plainScalar, unquoteDouble, YamlFault } from "./yaml-flow.ts";

interface Line {
  indent: number;
  /** Without indentation. */
  text: string;
}

const KEY =
  /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:[^\s#&*!|>'"%@`{}[\],?-]|[?-](?=\S))(?:[^#]|(?<!\s)#)*?)\s*:(?=\s|$)/;

/**
 * The value of a YAML text with one document.
 *
 * @throws YamlFault with the line of the fault.
 */
export function parseYaml(text: string): Value {
  return new YamlReader(text).document();
}

/** Lines that one flow value may take: each is read again with every line that follows. */
const MAX_FLOW_LINES = 2000;

class YamlReader {
  private readonly lines: Line[];
  private at = 0;
  private readonly anchors = new Map<string, Value>();

  constructor(text: string) {
    this.lines = text.split(/\r?\n/).map((raw) => {
      const indent = /^ */.exec(raw)?.[0].length ?? 0;
      const text = raw.slice(indent);
      return { indent, text: text.trim() === "" ? "" : text };
    });
  }

  document(): Value {
    this.skipBlank();
    const start = this.at;
    while (this.lines[this.at]?.text.startsWith("%")) this.at++;
    const first = this.lines[this.at];
    if (this.at > start && !first?.text.startsWith("---"))
      throw new YamlFault(`line ${this.at + 1}: a document begins with --- behind its directives`);
    if (first && /^---(\s|$)/.test(first.text)) {
      const rest = first.text.slice(3).trim();
      if (rest === "" || rest.startsWith("#")) this.at++;
      else this.lines[this.at] = { indent: 4, text: rest };
    }
    const value = this.block(0, 0);
    this.endOfDocument();
    // Only the first document counts, but what follows has to be YAML as well.
    while (this.lines[this.at]) {
      this.at++;
      this.block(0, 0);
      this.endOfDocument();
    }
    return value;
  }

  private endOfDocument(): void {
    this.skipBlank();
    if (this.lines[this.at] && !/^(\.\.\.|---)/.test(this.lines[this.at]?.text ?? ""))
      throw this.fault("text after the document");
  }

  private fault(why: string): YamlFault {
    return new YamlFault(`yaml: line ${this.at + 1}: ${why}`);
  }

  private skipBlank(): void {
    for (
      let line = this.lines[this.at];
      line && (line.text.trim() === "" || line.text.startsWith("#"));
      line = this.lines[this.at]
    ) {
      this.at++;
    }
  }

  /** What stands on lines indented by `indent` or more; null if there are none. */
  private block(indent: number, depth: number): Value {
    if (depth > MAX_NESTING) throw this.fault("nested too deeply");
    this.skipBlank();
    const line = this.lines[this.at];
    if (!line || line.indent < indent || /^(\.\.\.|---)(\s|$)/.test(line.text)) return null;
    if (line.text.startsWith("\t")) throw this.fault("a tab cannot indent");
    if (line.text === "-" || line.text.startsWith("- ")) return this.sequence(line.indent, depth);
    if (KEY.test(line.text) || line.text.startsWith("? ")) return this.mapping(line.indent, depth);
    const { text } = line;
    this.at++;
    return this.inline(text, line.indent - 1, depth);
  }

  private sequence(indent: number, depth: number): Value[] {
    const items: Value[] = [];
    for (;;) {
      this.skipBlank();
      const line = this.lines[this.at];
      if (!line || line.indent !== indent || !(line.text === "-" || line.text.startsWith("- "))) break;
      const rest = line.text.slice(1).trimStart();
      if (rest === "" || rest.startsWith("#")) {
        this.at++;
        items.push(this.block(indent + 1, depth + 1));
      } else if (KEY.test(rest) || rest.startsWith("- ") || rest === "-") {
        this.lines[this.at] = { indent: indent + line.text.length - rest.length, text: rest };
        items.push(this.block(indent + 1, depth + 1));
      } else {
        this.at++;
        items.push(this.inline(rest, indent, depth + 1));
      }
    }
    if ((this.lines[this.at]?.indent ?? 0) > indent) throw this.fault("wrong indentation");
    return items;
  }

  private mapping(indent: number, depth: number): RegoObject {
    const object = new RegoObject();
    for (;;) {
      this.skipBlank();
      const line = this.lines[this.at];
      if (!line || line.indent !== indent || /^(\.\.\.|---)(\s|$)/.test(line.text)) break;
      const match = KEY.exec(line.text);
      if (!match) throw this.fault("could not find expected ':'");
      const keyText = match[1] ?? "";
      const rest = line.text.slice(match[0].length).trim();
      this.at++;
      const value = this.fieldValue(rest, indent, depth);
      const key = this.scalar(keyText);
      if (keyText === "<<" && value instanceof RegoObject)
        for (const [name, field] of value.entries()) object.set(name, field);
      else object.set(typeof key === "string" ? key : keyText, value);
    }
    if ((this.lines[this.at]?.indent ?? 0) > indent)
      throw this.fault("mapping values are not allowed in this context");
    return object;
  }

  private fieldValue(rest: string, indent: number, depth: number): Value {
    const anchor = /^&(\S+)\s*/.exec(rest);
    const text = anchor ? rest.slice(anchor[0].length) : rest;
    let value: Value;
    if (text === "" || text.startsWith("#")) {
      this.skipBlank();
      const next = this.lines[this.at];
      // A sequence may stand as far left as the key that it belongs to.
      const isSequence = next && next.indent === indent && (next.text === "-" || next.text.startsWith("- "));
      value = isSequence ? this.sequence(indent, depth + 1) : this.block(indent + 1, depth + 1);
    } else {
      value = this.inline(text, indent, depth + 1);
    }
    if (anchor?.[1]) this.anchors.set(anchor[1], value);
    return value;
  }

  /** A value that begins on a line already left and may go on below, indented by more than `indent`. */
  private inline(text: string, indent: number, depth: number): Value {
    const first = text[0];
    if (first === "|" || first === ">") return this.blockScalar(text, indent);
    if (first === "&" || first === "!") {
      const end = /^\S+\s*/.exec(text)?.[0].length ?? 0;
      const value =
        end >= text.length ? this.block(indent + 1, depth) : this.inline(text.slice(end), indent, depth);
      if (first === "&") this.anchors.set(text.slice(1, end).trim(), value);
      return text.startsWith("!!str") && value !== null && typeof value !== "string"
        ? text.slice(end)
        : value;
    }
    if (first === "*") {
      const name = text.slice(1).split(/\s/)[0] ?? "";
      const value = this.anchors.get(name);
      if (value === undefined) throw this.fault(`unknown anchor '${name}' referenced`);
      return value;
    }
    if (first === "[" || first === "{" || first === '"' || first === "'") return this.flow(text);
    if (first !== undefined && "%@`".includes(first))
      throw this.fault(`found character that cannot start any token: ${first}`);
    return this.plain(text, indent);
  }

  private flow(text: string): Value {
    let source = text;
    for (let lines = 0; lines < MAX_FLOW_LINES; lines++) {
      const value = new FlowReader(source, this.anchors).complete();
      if (value !== undefined) return value;
      const next = this.lines[this.at];
      if (!next) break;
      source += `\n${next.text}`;
      this.at++;
    }
    throw this.fault("unfinished flow value");
  }

  private plain(text: string, indent: number): Value {
    let source = text.replace(/\s#.*$/s, "").trimEnd();
    if (/:(\s|$)/.test(source)) throw this.fault("mapping values are not allowed in this context");
    for (let breaks = 1; ; breaks++) {
      const next = this.lines[this.at];
      if (!next || (next.text !== "" && next.indent <= indent) || next.text.startsWith("#")) break;
      if (next.text !== "") {
        if (KEY.test(next.text)) throw this.fault("mapping values are not allowed in this context");
        source += (breaks > 1 ? "\n".repeat(breaks - 1) : " ") + next.text.replace(/\s#.*$/s, "").trimEnd();
        breaks = 0;
      } else if (!this.continues(indent)) {
        break;
      }
      this.at++;
    }
    return plainScalar(source);
  }

  /** True if a line of this value follows the empty ones. */
  private continues(indent: number): boolean {
    const next = this.lines.slice(this.at).find(({ text }) => text !== "");
    return next !== undefined && next.indent > indent;
  }

  private blockScalar(header: string, indent: number): string {
    const match = /^([|>])([+-]?)([1-9]?)([+-]?)\s*(?:#.*)?$/.exec(header);
    if (!match) throw this.fault("wrong block scalar header");
    const chomp = match[2] || match[4];
    const first = this.lines.slice(this.at).find(({ text }) => text.trim() !== "");
    const width = match[3]
      ? Math.max(indent, 0) + Number(match[3])
      : Math.max(first?.indent ?? 0, indent + 1);
    const kept: string[] = [];
    for (let line = this.lines[this.at]; line; line = this.lines[this.at]) {
      if (line.text !== "" && line.indent < width) break;
      kept.push(
        line.text === ""
          ? " ".repeat(Math.max(0, line.indent - width))
          : " ".repeat(line.indent - width) + line.text,
      );
      this.at++;
    }
    let end = kept.length;
    while (end > 0 && kept[end - 1]?.trim() === "") end--;
    const body = match[1] === "|" ? kept.slice(0, end).join("\n") : fold(kept.slice(0, end));
    if (chomp === "-" || end === 0) return chomp === "+" ? "\n".repeat(kept.length) : body;
    return chomp === "+" ? body + "\n".repeat(kept.length - end + 1) : `${body}\n`;
  }

  private scalar(text: string): Value {
    if (text.startsWith('"')) return unquoteDouble(text.slice(1, -1));
    if (text.startsWith("'")) return text.slice(1, -1).replace(/''/g, "'");
    return plainScalar(text);
  }
}

/** Lines joined by spaces; empty lines are breaks, deeper lines stay as they are. */
function fold(lines: readonly string[]): string {
  let text = "";
  let breaks = 0;
  lines.forEach((line, i) => {
    if (line === "") {
      breaks++;
      return;
    }
    const isDeep = line.startsWith(" ") || (lines[i - 1 - breaks] ?? "").startsWith(" ");
    if (text !== "" || breaks > 0)
      text += breaks > 0 ? "\n".repeat(breaks + (isDeep ? 1 : 0)) : isDeep ? "\n" : " ";
    text += line;
    breaks = 0;
  });
  return text;
}

/** True if `text` would be read as something other than a string. */
export function needsQuotes(text: string): boolean {
  return (
    text === "" ||
    typeof plainScalar(text) !== "string" ||
    /^[\s&*!|>'"%@`{}[\],#?:-]|[\s:]$|: | #|[\n\t]/.test(text) ||
    /^(y|n|yes|no|on|off|true|false|null|~)$/i.test(text) ||
    parseNumber(text) !== undefined
  );
}
