/** `state`, `list`, `ps`, `spec` and `features`. Source: runc's command line. */
import { KataError } from "../../kata-error.ts";
import { exists, writeFile } from "../../sys/files.ts";
import { getcwd } from "../../sys/process.ts";
import { textFlag, wordFlag } from "../flag-values.ts";
import { EXIT_OK, type FlagValues } from "../types.ts";
import { type ContainerCall, idOf } from "./container-call.ts";
import { containerState, stateDocument } from "./container-status.ts";
import { absolute } from "./prepare-spec.ts";
import { containersIn, findContainer } from "./runtime-root.ts";
import { specTemplate } from "./spec-template.ts";
import { CALL, TaskConnection } from "./task-connection.ts";

export async function runState(call: ContainerCall): Promise<number> {
  const directory = findContainer(call.root, idOf(call));
  const state = await containerState(directory);
  call.output.data(`${JSON.stringify(stateDocument(directory.id, state), null, 2)}\n`);
  return EXIT_OK;
}

export async function runList(call: ContainerCall): Promise<number> {
  const { root, flags, output } = call;
  const directories = containersIn(root);
  if (flags.has("quiet")) {
    output.data(directories.map(({ id }) => `${id}\n`).join(""));
    return EXIT_OK;
  }
  const format = formatOf(flags);
  const states = await Promise.all(
    directories.map(async (directory) => stateDocument(directory.id, await containerState(directory))),
  );
  if (format === "json") {
    // What runc writes if there are none.
    output.data(`${states.length === 0 ? "null" : JSON.stringify(states)}\n`);
    return EXIT_OK;
  }
  const rows = states.map(({ id, pid, status, bundle, created }) => [
    id,
    String(pid),
    status,
    bundle,
    created,
    "root",
  ]);
  output.data(tableText([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], ...rows]));
  return EXIT_OK;
}

/** `--json` is our own word for runc's `--format json`. */
function formatOf(flags: FlagValues): "table" | "json" {
  return wordFlag(flags, "format", ["table", "json"]) ?? (flags.has("json") ? "json" : "table");
}

export function tableText(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 3))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}

/** The processes that the host has of a container: what is in the guest has pids of its own. */
export async function runPs(call: ContainerCall): Promise<number> {
  const directory = findContainer(call.root, idOf(call));
  const format = formatOf(call.flags);
  using connection = await TaskConnection.open(directory);
  const { processes } = await connection.calls.pids({ id: directory.id }, CALL);
  const pids = [...new Set(processes.map(({ pid }) => pid))];
  call.output.data(
    format === "json"
      ? `${JSON.stringify(pids)}\n`
      : tableText([["PID"], ...pids.map((pid) => [String(pid)])]),
  );
  return EXIT_OK;
}

export async function runSpec(call: ContainerCall): Promise<number> {
  const path = `${absolute(getcwd(), textFlag(call.flags, "bundle") ?? ".")}/config.json`;
  if (exists(path)) {
    throw new KataError("already-exists", {
      operation: "write specification",
      object: path,
      hint: "File config.json exists. Remove it first",
    });
  }
  writeFile(path, `${JSON.stringify(specTemplate(), null, "\t")}\n`, 0o666);
  return EXIT_OK;
}
