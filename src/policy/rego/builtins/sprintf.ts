/** Go's fmt.Sprintf over Rego values. Source: Go package fmt, "Printing"; OPA maps integers, floats and strings to Go's own, all else to text. */
import { formatNumber, isInteger, type RegoNumber, toBigInt, toDouble } from "../decimal.ts";
import { formatRego, quote } from "../json.ts";
import { isNumber, type Value } from "../values.ts";
import { encodeUtf8 } from "./utf8.ts";

/** Widest field and longest fraction that a format may ask for, as in Go. */
const MAX_WIDTH = 1_000_000;
const MAX_PRECISION = 1000;

interface Directive {
  readonly flags: ReadonlySet<string>;
  readonly width: number | undefined;
  readonly precision: number | undefined;
}

export function sprintf(format: string, args: readonly Value[]): string {
  let result = "";
  let next = 0;
  let reordered = false;
  for (let at = 0; at < format.length; ) {
    const percent = format.indexOf("%", at);
    if (percent < 0) {
      result += format.slice(at);
      break;
    }
    result += format.slice(at, percent);
    const match = /^%([-+# 0]*)(\*|\d*)(?:\.(\*|\d*))?(?:\[(\d+)\])?([\s\S]?)/u.exec(format.slice(percent));
    if (!match) break;
    const [all, flagText = "", widthText = "", precisionText, index, verb = ""] = match;
    at = percent + all.length;
    const star = (text: string | undefined, limit: number): number | undefined => {
      if (text === undefined) return undefined;
      const size = text === "*" ? Number(args[next++] ?? 0) : text === "" ? undefined : Number(text);
      return size === undefined ? undefined : Math.min(Math.trunc(size) || 0, limit);
    };
    const width = star(widthText, MAX_WIDTH);
    const precision = precisionText === undefined ? undefined : (star(precisionText, MAX_PRECISION) ?? 0);
    const flags = new Set(flagText);
    if (verb === "") {
      result += "%!(NOVERB)";
      continue;
    }
    if (verb === "%") {
      result += "%";
      continue;
    }
    if (index !== undefined) {
      next = Number(index) - 1;
      reordered = true;
    }
    const arg = args[next++];
    if (arg === undefined) result += index !== undefined ? `%!${verb}(BADINDEX)` : `%!${verb}(MISSING)`;
    else
      result += formatArgument(verb, arg, {
        flags,
        width: width === undefined ? undefined : Math.abs(width),
        precision,
      });
  }
  if (!reordered && next < args.length) {
    const extra = args.slice(next).map((arg) => `${goType(arg)}=${plain(arg)}`);
    result += `%!(EXTRA ${extra.join(", ")})`;
  }
  return result;
}

/** What OPA hands to Go in the place of a value. */
function goType(value: Value): string {
  if (!isNumber(value)) return "string";
  if (!isInteger(value)) return "float64";
  return typeof value === "number" && Number.isSafeInteger(value) ? "int64" : "*big.Int";
}

function plain(value: Value): string {
  if (typeof value === "string") return value;
  if (isNumber(value))
    return isInteger(value) ? `${toBigInt(value)}` : goFloat(toDouble(value), "g", undefined);
  return formatRego(value);
}

function formatArgument(verb: string, value: Value, directive: Directive): string {
  const bad = () => `%!${verb}(${goType(value)}=${plain(value)})`;
  if (verb === "T") return pad(goType(value), directive);
  if (verb === "v")
    return isNumber(value)
      ? pad(withSign(plain(value), directive), directive)
      : pad(cut(plain(value), directive), directive);
  if (isNumber(value))
    return isInteger(value)
      ? formatInteger(verb, value, directive, bad)
      : formatFloat(verb, toDouble(value), directive, bad);
  const text = plain(value);
  switch (verb) {
    case "s":
      return pad(cut(text, directive), directive);
    case "q":
      return pad(quote(cut(text, directive)), directive);
    case "x":
    case "X": {
      const hex = [...encodeUtf8(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      return pad(verb === "x" ? hex : hex.toUpperCase(), directive);
    }
    default:
      return bad();
  }
}

const FLOAT_VERBS = "eEfFgG";

const BASES: Readonly<Record<string, number>> = { d: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };

function formatInteger(verb: string, value: RegoNumber, directive: Directive, bad: () => string): string {
  const integer = toBigInt(value) ?? 0n;
  // Go's big integers are strings to %s; OPA's float verbs take integers too.
  if (verb === "s" && goType(value) === "*big.Int") return pad(`${integer}`, directive);
  if (FLOAT_VERBS.includes(verb)) return formatFloat(verb, toDouble(value), directive, bad);
  const base = BASES[verb];
  if (base !== undefined) {
    const magnitude = (integer < 0n ? -integer : integer).toString(base);
    let digits = verb === "X" ? magnitude.toUpperCase() : magnitude;
    if (directive.precision !== undefined) digits = digits.padStart(directive.precision, "0");
    const prefix =
      verb === "O"
        ? "0o"
        : directive.flags.has("#")
          ? ({ b: "0b", o: "0", x: "0x", X: "0X" }[verb] ?? "")
          : "";
    return pad(withSign((integer < 0n ? "-" : "") + prefix + digits, directive), directive);
  }
  const isPoint = integer >= 0n && integer <= 0x10ffffn;
  switch (verb) {
    case "c":
      return pad(String.fromCodePoint(isPoint ? Number(integer) : 0xfffd), directive);
    case "q":
      return pad(`'${String.fromCodePoint(isPoint ? Number(integer) : 0xfffd)}'`, directive);
    case "U":
      return pad(`U+${integer.toString(16).toUpperCase().padStart(4, "0")}`, directive);
    default:
      return bad();
  }
}

function formatFloat(verb: string, value: number, directive: Directive, bad: () => string): string {
  switch (verb) {
    case "f":
    case "F":
      return pad(withSign(value.toFixed(Math.min(directive.precision ?? 6, 100)), directive), directive);
    case "e":
    case "E":
    case "g":
    case "G": {
      const text = goFloat(value, verb.toLowerCase() === "e" ? "e" : "g", directive.precision);
      return pad(withSign(verb === "E" || verb === "G" ? text.toUpperCase() : text, directive), directive);
    }
    default:
      return bad();
  }
}

/** Go's %e and %g: an exponent has two digits, %g uses one below 1e-4 and from 1e21 on (or past the precision). */
function goFloat(value: number, form: "e" | "g", precision: number | undefined): string {
  const exponential = (digits: number | undefined) => {
    const [mantissa = "", power = "0"] = value.toExponential(digits).split("e");
    const size = Math.abs(Number(power));
    return `${mantissa}e${Number(power) < 0 ? "-" : "+"}${size < 10 ? "0" : ""}${size}`;
  };
  if (form === "e") return exponential(Math.min(precision ?? 6, 100));
  const power =
    value === 0
      ? 0
      : Number(
          value.toExponential(precision === undefined ? undefined : Math.max(precision - 1, 0)).split("e")[1],
        );
  if (power < -4 || power >= (precision ?? 21))
    return exponential(precision === undefined ? undefined : Math.max(precision - 1, 0));
  return precision === undefined
    ? formatNumber(value)
    : `${Number(value.toPrecision(Math.max(precision, 1)))}`;
}

function withSign(text: string, { flags }: Directive): string {
  if (text.startsWith("-")) return text;
  return flags.has("+") ? `+${text}` : flags.has(" ") ? ` ${text}` : text;
}

function cut(text: string, { precision }: Directive): string {
  return precision === undefined ? text : [...text].slice(0, precision).join("");
}

function pad(text: string, { flags, width }: Directive): string {
  const missing = (width ?? 0) - [...text].length;
  if (missing <= 0) return text;
  if (flags.has("-")) return text + " ".repeat(missing);
  if (!flags.has("0")) return " ".repeat(missing) + text;
  const sign = /^[-+ ]/.exec(text)?.[0] ?? "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
}
