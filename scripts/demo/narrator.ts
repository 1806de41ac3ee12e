/** What the demo says: chapters, the commands it runs, what they print and how long they take. Plain text in a pipe or file. */

export interface Narrator {
  chapter(title: string): void;
  say(text: string): void;
  /** A command as a reader could type it. */
  command(words: readonly string[]): void;
  /** What a command printed. */
  output(text: string): void;
  took(what: string, ms: number): void;
  good(text: string): void;
  bad(text: string): void;
}

/** Longest text of one command's output that is shown, lines; the rest is only counted. */
const MAX_OUTPUT_LINES = 24;

/** Narrates on `stream`, with colours if it is a terminal and NO_COLOR is unset. */
export function narrateOn(stream: NodeJS.WriteStream): Narrator {
  const colourful = stream.isTTY && process.env.NO_COLOR === undefined;
  const paint = (code: number, text: string) => (colourful ? `\u001b[${code}m${text}\u001b[0m` : text);
  const line = (text: string) => stream.write(`${text}\n`);
  let chapters = 0;
  return {
    chapter(title) {
      line(`\n${paint(1, `${++chapters}. ${title}`)}`);
    },
    say(text) {
      line(`   ${text}`);
    },
    command(words) {
      line(`   ${paint(36, `$ ${words.map(readable).join(" ")}`)}`);
    },
    output(text) {
      const lines = text.replaceAll("\r", "").trimEnd().split("\n");
      for (const shown of lines.slice(0, MAX_OUTPUT_LINES)) line(`   ${paint(2, "│")} ${shown}`);
      if (lines.length > MAX_OUTPUT_LINES)
        line(`   ${paint(2, "│")} … ${lines.length - MAX_OUTPUT_LINES} more lines`);
    },
    took(what, ms) {
      line(`   ${paint(2, `${what}: ${duration(ms)}`)}`);
    },
    good(text) {
      line(`   ${paint(32, "✓")} ${text}`);
    },
    bad(text) {
      line(`   ${paint(31, "✗")} ${text}`);
    },
  };
}

/** `ms` as a person says it: `85 ms`, `2.7 s`, `3 min 20 s`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** `word` as it would be typed into a shell. */
function readable(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
