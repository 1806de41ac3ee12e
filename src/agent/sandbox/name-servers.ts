/** The pod's resolv.conf. */
import { KataError } from "../../kata-error.ts";
import { mkdirAll, replaceFile } from "../../sys/files.ts";
import { RESOLV_CONF } from "./paths.ts";

/** Most lines: a host sends a handful. */
const MAX_DNS_LINES = 256;

/** @param isGuest whether the machine is the agent's own, which then looks names up there, too. */
export function writeNameServers(lines: readonly string[], isGuest: boolean): void {
  if (lines.length > MAX_DNS_LINES || lines.some((line) => /[\n\0]/.test(line))) {
    throw new KataError("invalid-argument", {
      operation: "write resolv.conf",
      object: `${lines.length} lines`,
    });
  }
  const text = `${lines.join("\n")}\n`;
  replaceFile(RESOLV_CONF, text, 0o644);
  if (!isGuest) return;
  mkdirAll("/etc");
  replaceFile("/etc/resolv.conf", text, 0o644);
}
