/** `kata-runtime doctor`: what it does. */
import { type CheckResult, evaluate } from "../check/evaluate.ts";
import { resultLines } from "../check/report-text.ts";
import { textFlag } from "../flag-values.ts";
import { gatherFacts } from "../host/gather-facts.ts";
import { snapshotRoot, THIS_HOST } from "../host/host-root.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { type ContainerdFacts, gatherContainerdFacts } from "./containerd-facts.ts";
import { evaluateContainerd } from "./evaluate-containerd.ts";

const SEVERITY: Readonly<Record<CheckResult["verdict"], number>> = { failed: 0, warning: 1, ok: 2 };

/** @returns 0 if nothing is wrong, else 1. */
export async function runDoctor({ flags, environment, output }: CommandContext): Promise<number> {
  const root = textFlag(flags, "root") ?? "";
  const facts = await gatherFacts({ configurationFile: textFlag(flags, "config") ?? "", environment, root });
  const containerd = containerdFacts(
    root,
    textFlag(flags, "containerd-config"),
    environment.CONTAINERD_ADDRESS,
  );
  const results = [
    ...evaluate(facts).results,
    ...evaluateContainerd(containerd, facts.configuration.configuration.driver),
  ].sort((a, b) => SEVERITY[a.verdict] - SEVERITY[b.verdict]);
  const count = (verdict: CheckResult["verdict"]) =>
    results.filter((each) => each.verdict === verdict).length;
  const [failed, warnings] = [count("failed"), count("warning")];
  if (flags.has("json")) {
    output.data(`${JSON.stringify({ healthy: failed === 0, findings: results }, null, 2)}\n`);
  } else {
    output.data(resultLines(results.filter(({ verdict }) => flags.has("verbose") || verdict !== "ok")));
    output.data(`${failed} wrong, ${warnings} to look at, ${count("ok")} in order\n`);
  }
  return failed === 0 ? EXIT_OK : EXIT_FAILED;
}

function containerdFacts(root: string, file = "/etc/containerd/config.toml", address = ""): ContainerdFacts {
  const socket = (address || "/run/containerd/containerd.sock").replace(/^unix:\/\//, "");
  if (root === "") return gatherContainerdFacts(THIS_HOST, file, socket);
  using snapshot = snapshotRoot(root);
  return gatherContainerdFacts(snapshot, file, socket);
}
