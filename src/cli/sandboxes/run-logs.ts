/** `logs`: what a sandbox's shim and its guest said last. */
import { KataError } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { askShim } from "../ask-shim.ts";
import { numberFlag, wordFlag } from "../flag-values.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { newLines } from "./new-lines.ts";
import { findSandbox } from "./sandbox-directories.ts";

const SOURCES = ["shim", "guest"] as const;
type Source = (typeof SOURCES)[number];
const FOLLOW_INTERVAL_MS = 1000;

/** @throws KataError `not-found` if no such sandbox runs. */
export async function runLogs({ operands: [word = ""], flags, output }: CommandContext): Promise<number> {
  const sandboxId = findSandbox(word);
  const wanted = wordFlag(flags, "source", [...SOURCES, "all"]) ?? "all";
  const sources = SOURCES.filter((source) => wanted === "all" || wanted === source);
  const tail = numberFlag(flags, "tail") ?? Number.POSITIVE_INFINITY;
  const json = flags.has("json");
  const show = (source: Source, lines: readonly string[]) =>
    output.data(
      lines
        .map((line) =>
          json
            ? `${JSON.stringify({ source, line })}\n`
            : `${sources.length > 1 ? `${source}: ` : ""}${line}\n`,
        )
        .join(""),
    );
  const shown = new Map<Source, readonly string[]>();
  for (const source of sources) {
    const lines = await readLines(sandboxId, source);
    shown.set(source, lines);
    show(source, tail === Number.POSITIVE_INFINITY ? lines : tail === 0 ? [] : lines.slice(-tail));
  }
  if (!flags.has("follow")) return EXIT_OK;
  for (;;) {
    await sleep(loop, FOLLOW_INTERVAL_MS);
    for (const source of sources) {
      let lines: readonly string[];
      try {
        lines = await readLines(sandboxId, source);
      } catch (error) {
        // It has ended, as everything does that is followed.
        if (error instanceof KataError && error.code === "not-found") return EXIT_OK;
        throw error;
      }
      show(source, newLines(shown.get(source) ?? [], lines));
      shown.set(source, lines);
    }
  }
}

async function readLines(sandboxId: string, source: Source): Promise<readonly string[]> {
  const text = utf8Decode(await askShim({ sandboxId, method: "GET", target: `/logs/${source}` }));
  // What a guest has written does not command this terminal.
  return text === ""
    ? []
    : text
        .trimEnd()
        .split("\n")
        .map((line) => line.replace(/[\0-\x1f\x7f]/g, "?"));
}
