/**
 * Tests that run in the engine host, on the real kernel.
 *
 * A program registers its tests with {@link test} and ends in {@link runTests}, which runs them one after the other and prints
 * TAP: `ok N - name` or `not ok N - name` with the reason below it.
 */
import { withDeadline } from "../clock.ts";
import { loop } from "../event-loop.ts";
import { exit, formatError, programArguments, runProgram, writeSync } from "../program.ts";

interface Test {
  readonly name: string;
  readonly body: () => Promise<void> | void;
  readonly deadlineMs: number;
}

const tests: Test[] = [];

/** A test may take this long unless it says otherwise, ms. */
const TEST_DEADLINE_MS = 20_000;

/** Registers a test. It fails if `body` throws, rejects or takes longer than `deadlineMs`, by default 20 s. */
export function test(
  name: string,
  body: () => Promise<void> | void,
  deadlineMs: number = TEST_DEADLINE_MS,
): void {
  tests.push({ name, body, deadlineMs });
}

/** Runs the tests whose name holds the program's first argument, or all; the exit status tells of failures. */
export function runTests(): void {
  runProgram(async () => {
    const filter = programArguments[0] ?? "";
    const chosen = tests.filter((candidate) => candidate.name.includes(filter));
    writeSync(1, `TAP version 13\n1..${chosen.length}\n`);
    let failures = 0;
    for (const [index, { name, body, deadlineMs }] of chosen.entries()) {
      try {
        const what = { operation: "run test", object: name };
        await withDeadline(loop, deadlineMs, what, Promise.resolve().then(body));
        writeSync(1, `ok ${index + 1} - ${name}\n`);
      } catch (error) {
        failures++;
        const reason = formatError(error).trimEnd().replaceAll("\n", "\n#   ");
        writeSync(1, `not ok ${index + 1} - ${name}\n#   ${reason}\n`);
      }
    }
    writeSync(1, `# ${chosen.length - failures} passed, ${failures} failed\n`);
    // At once: a failed test may have left something that would be waited for.
    return exit(failures === 0 ? 0 : 1);
  });
}

/** Fails unless the two are deeply equal: primitives, bigints, lists, byte arrays and plain objects. */
export function assertEqual<T>(actual: T, expected: T, what = "value"): void {
  if (!deepEqual(actual, expected)) {
    throw new Error(`${what}: expected ${show(expected)}, got ${show(actual)}`);
  }
}

/** Fails unless `condition` holds. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`expected: ${what}`);
}

/** Fails unless `action` throws an error that `matches` accepts; answers with that error. */
export async function assertThrows(
  action: () => unknown,
  matches: (error: unknown) => boolean,
  what: string,
): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    if (matches(error)) return error;
    throw new Error(`expected ${what}, got another error`, { cause: error });
  }
  throw new Error(`expected ${what}, but nothing was thrown`);
}

function deepEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (ArrayBuffer.isView(a) !== ArrayBuffer.isView(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const left = Object.entries(a);
  const right = new Map<string, unknown>(Object.entries(b));
  return (
    left.length === right.size &&
    left.every(([key, value]) => right.has(key) && deepEqual(value, right.get(key)))
  );
}

function show(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "bigint"
      ? `${part}n`
      : part instanceof Uint8Array
        ? `bytes ${[...part.subarray(0, 64)]}`
        : part,
  );
  return text === undefined ? String(value) : text.slice(0, 2000);
}
