/** Arithmetic. Source: OPA policy reference, "Numbers". */
import { builtin, fault, smallInteger } from "../builtin-registry.ts";
import {
  add,
  compareNumbers,
  divide,
  fromBigInt,
  isInteger,
  multiply,
  negate,
  parseNumber,
  type RegoNumber,
  remainder,
  roundTo,
  subtract,
  toBigInt,
} from "../decimal.ts";
import { formatRego } from "../json.ts";
import { isNumber, RegoSet, type Value } from "../values.ts";

function number(value: Value | undefined): RegoNumber {
  if (isNumber(value)) return value;
  throw fault("number", "a number was expected");
}

const RADIXES = [2, 8, 10, 16];

/** Text of what `to_number` accepts. Source: Go strconv.ParseFloat without its names and hexadecimal forms. */
const DECIMAL_TEXT = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

function textToNumber(text: string): RegoNumber | undefined {
  const match = DECIMAL_TEXT.exec(text);
  if (!match || !/\d/.test(text[match[1]?.length ?? 0] === "." ? text.slice(1, 3) : text)) return undefined;
  const [, sign = "", whole = "", fraction = "", power = "0"] = match;
  if (whole === "" && fraction === "") return undefined;
  return parseNumber(`${sign === "-" ? "-" : ""}${whole || "0"}.${fraction || "0"}e${power}`);
}

function toNumber(value: Value | undefined): Value | undefined {
  if (value === null || value === undefined) return 0;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (isNumber(value)) return value;
  const parsed = typeof value === "string" ? textToNumber(value) : undefined;
  if (parsed === undefined) throw fault("to_number", `invalid syntax: ${formatRego(value)}`);
  return parsed;
}

function integerAt(name: string, args: readonly Value[], index: number): bigint {
  const value = args[index];
  const integer = isNumber(value) ? toBigInt(value) : undefined;
  if (integer === undefined)
    throw fault(name, `operand ${index + 1} must be integer number but got floating-point number`);
  return integer;
}

/** The integers from the first operand to the second, a third being the distance between them. */
function range(name: string, args: readonly Value[], charge: (count: number) => void): Value {
  const first = integerAt(name, args, 0);
  const last = integerAt(name, args, 1);
  const step = args.length > 2 ? integerAt(name, args, 2) : 1n;
  if (step < 1n) throw fault(name, "step must be a positive integer");
  const distance = last < first ? first - last : last - first;
  const count = Number(distance / step) + 1;
  charge(count);
  const direction = last < first ? -step : step;
  return Array.from({ length: count }, (_, i) => fromBigInt(first + BigInt(i) * direction));
}

export const NUMBERS = [
  builtin("plus", "n,n", ([a, b]) => add(number(a), number(b))),
  builtin("minus", "nS,nS", ([a, b], { run }) => {
    if (a instanceof RegoSet && b instanceof RegoSet) {
      run.spend(a.size);
      return RegoSet.of([...a.unordered()].filter((item) => !b.has(item)));
    }
    if (!isNumber(a)) throw fault("minus", "operand 1 must be a number, as operand 2 is one");
    if (!isNumber(b)) throw fault("minus", "operand 2 must be a number, as operand 1 is one");
    return subtract(a, b);
  }),
  builtin("mul", "n,n", ([a, b]) => multiply(number(a), number(b))),
  builtin("div", "n,n", ([a, b]) => {
    const quotient = divide(number(a), number(b));
    if (quotient === undefined) throw fault("div", "divide by zero");
    return quotient;
  }),
  builtin("rem", "n,n", ([a, b]) => {
    const rest = remainder(number(a), number(b));
    if (rest !== undefined) return rest;
    throw fault(
      "rem",
      compareNumbers(number(b), 0) === 0 ? "modulo by zero" : "modulo on floating-point number",
    );
  }),
  builtin("round", "n", ([value]) => roundTo(number(value), "half-away-from-zero")),
  builtin("ceil", "n", ([value]) => roundTo(number(value), "ceil")),
  builtin("floor", "n", ([value]) => roundTo(number(value), "floor")),
  builtin("abs", "n", ([value]) => (compareNumbers(number(value), 0) < 0 ? negate(number(value)) : value)),
  builtin("to_number", "zbns", ([value]) => toNumber(value)),
  builtin("format_int", "n,n", ([value, base]) => {
    const radix = smallInteger(base);
    if (radix === undefined || !RADIXES.includes(radix))
      throw fault("format_int", "operand 2 must be one of {2, 8, 10, 16}");
    const truncated =
      compareNumbers(number(value), 0) < 0 ? roundTo(number(value), "ceil") : roundTo(number(value), "floor");
    return toBigInt(truncated)?.toString(radix);
  }),
  builtin("numbers.range", "n,n", (args, { run }) =>
    range("numbers.range", args, (count) => run.charge(count)),
  ),
  builtin("numbers.range_step", "n,n,n", (args, { run }) =>
    range("numbers.range_step", args, (count) => run.charge(count)),
  ),
  builtin("rand.intn", "s,n", ([name, bound], { run, host }) => {
    if (!isNumber(bound) || !isInteger(bound)) return undefined;
    const below = Math.abs(smallInteger(bound) ?? 0);
    if (below === 0) return 0;
    const key = `rand.intn ${below} ${name}`;
    const known = run.once.get(key);
    if (known !== undefined) return known;
    const value = Math.floor((host.random ?? Math.random)() * below);
    run.once.set(key, value);
    return value;
  }),
];
