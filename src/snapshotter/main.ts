/** kata-snapshotter: verified layers for containerd. Runs under Node. */
import { basename } from "node:path";
import { diffService } from "../../build/generated/diff.ts";
import { snapshotsService } from "../../build/generated/snapshots.ts";
import { describeError } from "../kata-error.ts";
import { HELP, parseArguments, type SnapshotterOptions } from "./arguments.ts";
import { ContentStore } from "./content-store.ts";
import { LayerConverter } from "./convert-layer.ts";
import { diffHandlers } from "./diff-service.ts";
import { serveGrpc } from "./grpc-server.ts";
import { SnapshotStore } from "./snapshot-store.ts";
import { snapshotsHandlers } from "./snapshots-service.ts";

/** One line, as journals keep them. */
function log(message: string, fields: Readonly<Record<string, string>> = {}): void {
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  process.stderr.write(`${message}${rest.join("")}\n`);
}

async function serve({ root, socket, containerd, format }: SnapshotterOptions): Promise<void> {
  const store = new SnapshotStore(root);
  const converter = new LayerConverter(new ContentStore(containerd), store, format);
  const handlers = snapshotsHandlers({ store, converter, format, now: Date.now });
  const server = await serveGrpc(
    socket,
    [snapshotsService(handlers), diffService(diffHandlers({ store, converter }))],
    log,
  );
  log("listening", { socket, root, format });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void server.close());
}

async function main(): Promise<void> {
  const command = parseArguments(basename(process.argv[1] ?? ""), process.argv.slice(2));
  if (command.do === "help") process.stdout.write(HELP);
  else await serve(command.options);
}

main().catch((error: unknown) => {
  log(`snapshotter: ${describeError(error)}`);
  process.exitCode = 1;
});
