/** `kata-runtime iptables`: what it does. */
import { KataError } from "../../kata-error.ts";
import { checkId } from "../../sandbox/sandbox-paths.ts";
import { readFile } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { askShim } from "../ask-shim.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";

/** Below the largest message to a guest, bytes. */
const MAX_RULES_BYTES = 3 << 20;

/** @throws KataError `not-found` if no such sandbox runs; with the shim's words if the guest cannot tell. */
export async function runGet(context: CommandContext): Promise<number> {
  const text = utf8Decode(await askShim({ ...place(context), method: "GET" }));
  const { flags, output } = context;
  const lines = text.split("\n").filter((line) => line !== "");
  const family = flags.has("v6") ? "ipv6" : "ipv4";
  output.data(flags.has("json") ? `${JSON.stringify({ family, lines }, null, 2)}\n` : text);
  return EXIT_OK;
}

/** @throws KataError as {@link runGet}; what the guest's program says of the rules is printed. */
export async function runSet(context: CommandContext): Promise<number> {
  const [file = ""] = context.operands;
  const body = readFile(file === "-" ? "/dev/stdin" : file, MAX_RULES_BYTES);
  context.output.data(utf8Decode(await askShim({ ...place(context), method: "PUT", body })));
  return EXIT_OK;
}

function place({ flags }: CommandContext): { readonly sandboxId: string; readonly target: string } {
  const sandboxId = flags.get("sandbox-id");
  if (typeof sandboxId !== "string") {
    throw new KataError("invalid-argument", {
      operation: "ask for packet filter",
      object: "the command line",
      hint: "--sandbox-id is missing",
    });
  }
  checkId(sandboxId);
  return { sandboxId, target: flags.has("v6") ? "/ip6tables" : "/iptables" };
}
