/** What the command needs of the system it runs on; tests hand in their own. */
import type { HostProviders } from "../rego/evaluation.ts";

export interface CommandHost {
  /** The text of a file; throws with the path in its message if there is none. */
  readonly readFile: (path: string) => string;
  readonly writeFile: (path: string, text: string) => void;
  /** The `.rego` files of a directory and those below, sorted; undefined if `path` is no directory. */
  readonly listPolicies: (path: string) => readonly string[] | undefined;
  readonly writeOut: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Milliseconds on a clock that only goes forward. */
  readonly milliseconds: () => number;
  readonly providers: HostProviders;
}
