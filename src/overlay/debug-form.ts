/** Errors as the programs that these helpers stand in for print them, which other tools may look for: Rust's Debug form. */
import type { KataError } from "../kata-error.ts";

export function debugForm(error: KataError): string {
  const quoted = (text: string) => JSON.stringify(text);
  if (error.code === "invalid-argument")
    return `Custom { kind: InvalidInput, error: ${quoted(error.object)} }`;
  const text = error.code === "mount-failed" ? `${error.operation}: ${error.object}` : error.message;
  return `Custom { kind: Other, error: ${quoted(text)} }`;
}
