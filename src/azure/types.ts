/** What the parts of the Azure checks share. */

/** What is known of a question. `unknown` is an answer of its own: nothing is guessed. */
export type Answer = "yes" | "no" | "unknown";

export const ANSWERS: readonly Answer[] = ["yes", "no", "unknown"];

/** An answer and where it comes from. */
export interface Fact {
  readonly answer: Answer;
  /** A document, a list or an observation, by name. */
  readonly source: string;
}
