/** Graphs as objects from a node to its neighbours, and walks through documents. Source: OPA policy reference, "Graph". */
import { builtin, membersOf, objectOf } from "../builtin-registry.ts";
import { member, memberKeys } from "../document.ts";
import type { Run } from "../evaluation.ts";
import { isArray, type RegoObject, RegoSet, type Value } from "../values.ts";

function neighbours(graph: RegoObject, node: Value): readonly Value[] {
  const found = graph.get(node);
  if (isArray(found)) return found;
  return found instanceof RegoSet ? found.values() : [];
}

function reachable(graph: RegoObject, start: readonly Value[], run: Run): RegoSet {
  const seen = new RegoSet();
  const queue = [...start];
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    run.step();
    if (seen.has(node) || !graph.has(node)) continue;
    seen.add(node);
    queue.push(...neighbours(graph, node));
  }
  return seen;
}

/** All paths without a repeated node that cannot go on. */
function reachablePaths(graph: RegoObject, start: readonly Value[], run: Run): RegoSet {
  const paths = new RegoSet();
  const visit = (node: Value, path: readonly Value[]): void => {
    const all = neighbours(graph, node);
    run.charge(path.length + 1);
    run.spend(path.length + all.length + 1);
    const seen = RegoSet.of(path);
    const next = all.filter((one) => !seen.has(one));
    if (next.length === 0 || !graph.has(node)) paths.add(path);
    else for (const one of next) visit(one, graph.has(one) ? [...path, one] : path);
  };
  for (const node of start) if (graph.has(node)) visit(node, [node]);
  return paths;
}

/** Every place of a document with what stands there, the document itself first. */
function walk(value: Value, path: readonly Value[], into: Value[], run: Run): void {
  run.charge(path.length + 2);
  run.step();
  into.push([path, value]);
  if (value === null || typeof value !== "object") return;
  for (const key of memberKeys(value)) {
    const below = member(value, key);
    if (below !== undefined) walk(below, [...path, key], into, run);
  }
}

export const GRAPHS = [
  builtin("graph.reachable", "o,aS", ([graph, start], { run }) =>
    reachable(objectOf("graph.reachable", graph), membersOf("graph.reachable", 1, start), run),
  ),
  builtin("graph.reachable_paths", "o,aS", ([graph, start], { run }) =>
    reachablePaths(
      objectOf("graph.reachable_paths", graph),
      membersOf("graph.reachable_paths", 1, start),
      run,
    ),
  ),
  builtin("walk", "*", ([value], { run }) => {
    const pairs: Value[] = [];
    walk(value as Value, [], pairs, run);
    return pairs;
  }),
];
