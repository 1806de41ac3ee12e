/** Errors as a user of `ctr` sees them: one line each, whatever guest and programs put into their texts. */
import { KataError } from "../kata-error.ts";
import type { Method, Service } from "../rpc/types.ts";

/** `error` without line breaks. */
export function singleLine(error: unknown): unknown {
  if (!(error instanceof Error) || !/[\r\n]/.test(error.message)) return error;
  if (!(error instanceof KataError)) return new Error(flatten(error.message), { cause: error });
  const { code, errno, hint } = error;
  return new KataError(code, {
    operation: flatten(error.operation),
    object: flatten(error.object),
    errno,
    hint: hint === undefined ? undefined : flatten(hint),
    cause: error,
  });
}

function flatten(text: string): string {
  return text
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join(" | ");
}

/**
 * `service`, whose errors have one line.
 *
 * @param watch is called with the method at the start of each call, and its result at the end.
 */
export function withSingleLineErrors(
  service: Service,
  watch: (method: string) => () => void = () => () => undefined,
): Service {
  const methods = new Map<string, Method>();
  for (const [name, method] of service.methods) {
    methods.set(
      name,
      method.kind === "unary" ? { ...method, handle: wrapped(method.handle, () => watch(name)) } : method,
    );
  }
  return { ...service, methods };
}

function wrapped<Arguments extends readonly unknown[], Result>(
  handle: (...call: Arguments) => Promise<Result>,
  began: () => () => void,
): (...call: Arguments) => Promise<Result> {
  return async (...call) => {
    const ended = began();
    try {
      return await handle(...call);
    } catch (error) {
      throw singleLine(error);
    } finally {
      ended();
    }
  };
}
