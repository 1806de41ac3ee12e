/** The command line of kata-monitor; flags are written as Go's programs take them, with one dash or two. */
import { KataError } from "../kata-error.ts";

export interface MonitorOptions {
  readonly host: string;
  readonly port: number;
  /** Socket of the container manager's CRI. */
  readonly runtimeEndpoint: string;
  readonly logLevel: LogLevel;
}

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "panic"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type MonitorCommand =
  | { readonly do: "serve"; readonly options: MonitorOptions }
  | { readonly do: "help" }
  | { readonly do: "version" };

const DEFAULT_ADDRESS = "127.0.0.1:8090";
const DEFAULT_ENDPOINT = "/run/containerd/containerd.sock";

export const USAGE = `Usage: kata-monitor [OPTION]...

Serves the figures of all sandboxes of this host over HTTP, for Prometheus: /metrics, /sandboxes, /agent-url.

Options:
  -listen-address HOST:PORT   where to listen (${DEFAULT_ADDRESS})
  -runtime-endpoint SOCKET    the container manager's socket, asked for the names of pods (${DEFAULT_ENDPOINT})
  -log-level LEVEL            ${LOG_LEVELS.join(", ")} (info)
  -version, version           show the version
  -help, -h                   show this help

Example:
  kata-monitor -listen-address 0.0.0.0:8090
`;

/** @throws KataError `invalid-argument`. */
export function parseMonitorArguments(words: readonly string[]): MonitorCommand {
  let [address, endpoint, level] = [DEFAULT_ADDRESS, DEFAULT_ENDPOINT, "info"];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "version" || /^--?v(ersion)?$/.test(word)) return { do: "version" };
    if (/^--?h(elp)?$/.test(word)) return { do: "help" };
    const [, name, inline] = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(word) ?? [];
    const value = inline ?? words[++at];
    if (name === undefined || !["listen-address", "runtime-endpoint", "log-level"].includes(name)) {
      throw invalid(word, "kata-monitor -help shows what there is");
    }
    if (value === undefined || value === "") throw invalid(word, "it needs a value");
    if (name === "listen-address") address = value;
    else if (name === "runtime-endpoint") endpoint = value;
    else level = value;
  }
  const logLevel = LOG_LEVELS.find((each) => each === level);
  if (logLevel === undefined) throw invalid(level, `a level is one of ${LOG_LEVELS.join(", ")}`);
  return {
    do: "serve",
    options: { ...parseAddress(address), runtimeEndpoint: endpoint.replace(/^unix:\/\//, ""), logLevel },
  };
}

/** `HOST:PORT`, `[IPv6]:PORT` or `:PORT`. */
function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const [, ipv6, name = "", digits = ""] = /^(?:\[([\da-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === "" || port > 65_535) throw invalid(text, "an address is HOST:PORT");
  return { host: ipv6 ?? (name === "" ? "0.0.0.0" : name), port };
}

function invalid(word: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read command line",
    object: JSON.stringify(word.slice(0, 200)),
    hint,
  });
}
