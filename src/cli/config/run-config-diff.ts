/** `kata-runtime config diff`: what it does. */
import type { Configuration } from "../../config/index.ts";
import { sectionHeader, toToml } from "../../config/sample.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { load, type Setting, settingsOf } from "./read-settings.ts";

interface Difference {
  readonly section: Setting["section"];
  readonly key: string;
  /** Undefined where the monitor does not use the key. */
  readonly before: Setting | undefined;
  readonly after: Setting | undefined;
}

/** @returns 0 if the two amount to the same, else 1. */
export async function runConfigDiff(context: CommandContext): Promise<number> {
  const { flags, operands, output } = context;
  const [first, second] = operands;
  const before = load(context, second === undefined ? undefined : first);
  const after = load(context, second ?? first);
  const differences = compare(settingsOf(before), settingsOf(after));
  if (flags.has("json")) {
    const shown = differences.map(({ section, key, before: old, after: next }) => ({
      section,
      key,
      before: old?.value ?? null,
      after: next?.value ?? null,
    }));
    output.data(
      `${JSON.stringify({ before: head(before), after: head(after), differences: shown }, null, 2)}\n`,
    );
  } else if (differences.length > 0 || before.driver !== after.driver) {
    output.data(differenceLines(before, after, differences));
  }
  return differences.length === 0 && before.driver === after.driver ? EXIT_OK : EXIT_FAILED;
}

function head({ sources, driver }: Configuration) {
  return { sources, driver };
}

function compare(before: readonly Setting[], after: readonly Setting[]): readonly Difference[] {
  const name = ({ section, key }: Setting) => `${section}.${key}`;
  const old = new Map(before.map((each) => [name(each), each]));
  const next = new Map(after.map((each) => [name(each), each]));
  return [...new Set([...old.keys(), ...next.keys()])].flatMap((id) => {
    const [was, is] = [old.get(id), next.get(id)];
    const some = was ?? is;
    if (
      some === undefined ||
      (was !== undefined && is !== undefined && toToml(was.value) === toToml(is.value))
    ) {
      return [];
    }
    return [{ section: some.section, key: some.key, before: was, after: is }];
  });
}

/** In the manner of diff(1). */
function differenceLines(
  before: Configuration,
  after: Configuration,
  differences: readonly Difference[],
): string {
  let text = `--- ${before.sources.join(", ")} [hypervisor.${before.driver}]\n+++ ${after.sources.join(", ")} [hypervisor.${after.driver}]\n`;
  let section: Setting["section"] | undefined;
  for (const each of differences) {
    if (each.section !== section) text += ` ${sectionHeader(each.section, after.driver)}\n`;
    section = each.section;
    if (each.before !== undefined)
      text += `-${each.key} = ${toToml(each.before.value)}  # ${each.before.from}\n`;
    if (each.after !== undefined)
      text += `+${each.key} = ${toToml(each.after.value)}  # ${each.after.from}\n`;
  }
  return text;
}
