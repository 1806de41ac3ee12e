/**
 * The shim's command line, as containerd and CRI-O write it: Go's flags (one dash or two, value as the next word or after
 * `=`), then one action word.
 * Source: containerd runtime v2 shim contract, "Command line".
 */
import { KataError } from "../kata-error.ts";

export interface ShimArguments {
  /** `serve`: no action word, the daemon that `start` makes of itself. */
  readonly action: "start" | "delete" | "serve" | "version" | "info";
  readonly namespace: string;
  /** Of containerd's gRPC socket; empty under CRI-O. */
  readonly address: string;
  readonly publishBinary: string;
  readonly id: string;
  readonly bundle: string;
  readonly socket: string;
  readonly debug: boolean;
}

const TEXT_FLAGS = [
  "namespace",
  "address",
  "publish-binary",
  "id",
  "bundle",
  "socket",
  "debug-socket",
] as const;
const SWITCHES = ["debug", "v", "version", "info"] as const;

/**
 * Parses the words after the program's name.
 *
 * @throws KataError `invalid-argument` for an unknown flag or action, and for a missing value, namespace or id.
 */
export function parseArguments(words: readonly string[]): ShimArguments {
  const texts = new Map<string, string>();
  const switches = new Set<string>();
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") {
      at++;
      break;
    }
    const flag = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(word);
    if (flag === null) break;
    const [, name = "", inline] = flag;
    if (isOneOf(SWITCHES, name)) {
      if (inline === undefined || inline === "true") switches.add(name);
      else if (inline !== "false") throw invalid(`-${name}`, "it is true or false");
    } else if (isOneOf(TEXT_FLAGS, name)) {
      const value = inline ?? words[++at];
      if (value === undefined) throw invalid(`-${name}`, "it needs a value");
      texts.set(name, value);
    } else {
      throw invalid(word, "no such flag");
    }
  }
  const text = (name: (typeof TEXT_FLAGS)[number]) => texts.get(name) ?? "";
  const action = chooseAction(words[at], switches);
  if (action === "start" || action === "delete" || action === "serve") {
    if (text("namespace") === "") throw invalid("-namespace", "containerd passes the namespace of the task");
    checkId(text("id"));
  }
  return {
    action,
    namespace: text("namespace"),
    address: text("address"),
    publishBinary: text("publish-binary"),
    id: text("id"),
    bundle: text("bundle"),
    socket: text("socket"),
    debug: switches.has("debug"),
  };
}

function chooseAction(word: string | undefined, switches: ReadonlySet<string>): ShimArguments["action"] {
  if (switches.has("v") || switches.has("version")) return "version";
  if (switches.has("info")) return "info";
  if (word === undefined) return "serve";
  if (word === "start" || word === "delete") return word;
  throw invalid(word, "the action is start or delete");
}

/** Longest id, characters: one component of a path, with room for suffixes. */
const MAX_ID_LENGTH = 200;

/**
 * Checks an id of a container, sandbox or exec, which becomes part of paths.
 *
 * @throws KataError `invalid-argument` unless it has 1 to 200 of the characters that containerd allows.
 */
export function checkId(id: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(id) || id.length > MAX_ID_LENGTH) {
    throw invalid(
      JSON.stringify(id.slice(0, 80)),
      `an id begins with a letter or digit, goes on with those, "_", "." or "-", and has at most ${MAX_ID_LENGTH}`,
    );
  }
}

function isOneOf<T extends string>(names: readonly T[], name: string): name is T {
  return (names as readonly string[]).includes(name);
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read command line", object, hint });
}
