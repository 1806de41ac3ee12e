/** A call of an engine, or of a person as an engine: what the flags before the command say, and how failures are told. */
import { describeError, KataError } from "../../kata-error.ts";
import { getcwd } from "../../sys/process.ts";
import { textFlag, wordFlag } from "../flag-values.ts";
import { type Command, EXIT_FAILED, type FlagValues, type Output } from "../types.ts";
import { type CallerLog, tellFailure } from "./caller-log.ts";
import { absolute } from "./prepare-spec.ts";
import { DEFAULT_ROOT } from "./runtime-root.ts";

export interface ContainerCall {
  readonly flags: FlagValues;
  readonly operands: readonly string[];
  readonly output: Output;
  /** Directory of the containers' directories, absolute. */
  readonly root: string;
  readonly log: CallerLog;
  readonly debug: boolean;
  /** Configuration file; empty for the usual places. */
  readonly configuration: string;
}

/**
 * A command's `run` that does `verb` and tells of failures as runc does.
 *
 * @param failed its exit status then.
 */
export function containerVerb(
  verb: (call: ContainerCall) => Promise<number>,
  failed: number = EXIT_FAILED,
): Command["run"] {
  return async ({ flags, operands, output }) => {
    const log: CallerLog = {
      file: textFlag(flags, "log") ?? "",
      format: wordFlag(flags, "log-format", ["text", "json"]) ?? "text",
    };
    const root = absolute(getcwd(), textFlag(flags, "root") ?? DEFAULT_ROOT);
    const configuration = textFlag(flags, "config") ?? "";
    try {
      return await verb({ flags, operands, output, root, log, debug: flags.has("debug"), configuration });
    } catch (error) {
      if (!(error instanceof KataError)) throw error;
      tellFailure(log, error);
      return failed;
    }
  };
}

/** The id that a command begins its words with. */
export function idOf({ operands }: ContainerCall): string {
  return operands[0] ?? "";
}

/** A caught error as one that says what it was, for a report between processes. */
export function reportOf(error: unknown): string {
  const code = error instanceof KataError ? error.code : "internal";
  return JSON.stringify({ code, message: describeError(error) });
}

/** @throws the error that {@link reportOf} made a text of. */
export function throwReport(text: string, operation: string): never {
  let report: { code?: unknown; message?: unknown } = {};
  try {
    report = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const { code, message } = report;
  throw new KataError(typeof code === "string" ? code : "internal", {
    operation,
    object: typeof message === "string" ? message : "its process has ended without a word",
  });
}
