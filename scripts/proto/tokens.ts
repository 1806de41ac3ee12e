/** The words of a .proto file, with the comment in front of each. */

export interface Token {
  readonly text: string;
  readonly line: number;
  /** The lines of `//` directly above, without their slashes. */
  readonly comment: string;
}

/** Words, numbers with their sign, strings in double quotes, single signs, line comments, ends of lines. */
const TOKEN = /[A-Za-z_][\w.]*|-?\d+|"[^"\n]*"|[{}()<>=;,]|\/\/[^\n]*|\n/y;

/** @throws Error with file and line at what is no word of our subset. */
export function tokenize(path: string, text: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let comment: string[] = [];
  let lineIsEmpty = true;
  for (let at = 0; at < text.length; ) {
    if (text[at] === " ") {
      at++;
      continue;
    }
    TOKEN.lastIndex = at;
    const word = TOKEN.exec(text)?.[0];
    if (word === undefined) throw new Error(`${path}:${line}: cannot read ${JSON.stringify(text[at])}`);
    at += word.length;
    if (word === "\n") {
      // An empty line parts a comment from what follows.
      if (lineIsEmpty) comment = [];
      lineIsEmpty = true;
      line++;
    } else if (word.startsWith("//")) {
      if (lineIsEmpty) comment.push(word.slice(2).trim());
      lineIsEmpty = false;
    } else {
      tokens.push({ text: word, line, comment: comment.join(" ") });
      comment = [];
      lineIsEmpty = false;
    }
  }
  return tokens;
}
