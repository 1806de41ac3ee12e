/** What the parts of the preflight share. */

export type Verdict = "ok" | "note" | "warning" | "failed";

export interface Finding {
  /** What it is about: `pool nodepool1`, `node aks-…`, `runtimeclass kata-vm-isolation`. */
  readonly object: string;
  /** The rule: `os-sku`, `size`. */
  readonly rule: string;
  readonly verdict: Verdict;
  readonly detail: string;
  /** What to do about it; absent if nothing has to be done. */
  readonly fix?: string;
}

/** Collects the findings about one object. */
export class Findings {
  readonly #object: string;
  readonly list: Finding[] = [];

  constructor(object: string) {
    this.#object = object;
  }

  add(rule: string, verdict: Verdict, detail: string, fix?: string): void {
    this.list.push({ object: this.#object, rule, verdict, detail, ...(fix === undefined ? {} : { fix }) });
  }
}
