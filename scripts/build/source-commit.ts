/** Which commit the source is. */
import { run } from "./run.ts";

/** The commit of the checkout at `root`, with `-dirty` if tracked files have changed; empty if it is none. */
export async function sourceCommit(root: string): Promise<string> {
  try {
    return (
      await run("git", [
        "--no-optional-locks",
        "-C",
        root,
        "describe",
        "--always",
        "--abbrev=40",
        "--dirty",
        "--exclude=*",
      ])
    ).trim();
  } catch {
    // An unpacked archive, or a machine without git: the source does not tell.
    return "";
  }
}
