/** What the parts of the command line share. */

/** A flag of a command, or of all. */
export interface Flag {
  /** All its spellings, the one that is shown first: `--json`, `-n`. */
  readonly names: readonly string[];
  /** What its value is called in the help; absent for a switch. */
  readonly value?: string;
  /** It may be given several times, and each value counts. */
  readonly repeats?: true;
  readonly doc: string;
}

/**
 * The flags of a command line: each under its first name without dashes; `true` for a switch, all values for a flag that may be
 * repeated.
 */
export type FlagValues = ReadonlyMap<string, string | true | readonly string[]>;

/** Where a command writes. Data goes to `data` (stdout), what is said about it to `progress` (stderr). */
export interface Output {
  data(text: string): void;
  progress(text: string): void;
}

export interface CommandContext {
  /** The name that the program was called by: `kata-runtime` or `kata-ctl`. */
  readonly program: string;
  readonly flags: FlagValues;
  /** The words that belong to no flag. */
  readonly operands: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly output: Output;
}

/** Words that a command takes besides its flags. */
export interface Operands {
  /** As the help shows them: `NAME...`. */
  readonly shown: string;
  readonly min: number;
  readonly max: number;
}

export interface Command {
  readonly name: string;
  /** The command that this one belongs to: `azure`. */
  readonly within?: string;
  readonly aliases: readonly string[];
  /** One sentence for the list of commands. */
  readonly summary: string;
  /** More, for the command's own help. */
  readonly description: string;
  readonly flags: readonly Flag[];
  /** None if absent. */
  readonly operands?: Operands;
  /** Its flags end at the first other word: what comes then is another program's. */
  readonly flagsFirst?: true;
  /** If it has any, one of them has to be named. */
  readonly subcommands?: readonly Command[];
  /** Command lines with what they do. */
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** @returns the exit status. */
  readonly run: (context: CommandContext) => Promise<number>;
}

/** The command did what it was asked, and the answer is not no. */
export const EXIT_OK = 0;
/** The answer is no, or the command failed. */
export const EXIT_FAILED = 1;
/** The answer is not known. */
export const EXIT_UNKNOWN = 3;
/** The command line makes no sense; as docker's and podman's. */
export const EXIT_USAGE = 125;
