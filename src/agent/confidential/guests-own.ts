/** What a container gets of the guest and not of the host: its secrets in the open, and the program of a pod's first container. */
import type { Spec } from "../../oci/types.ts";
import type { Rollback } from "../../sys/rollback.ts";
import { withPauseProgram } from "../image/pause-image.ts";
import type { Storage } from "../storage/storage.ts";
import { DataHub, type DataHubTimeouts, withUnsealedEnvironment } from "./data-hub.ts";
import { withUnsealedFiles } from "./sealed-files.ts";

/**
 * The specification of a container whose storages are mounted, as it runs.
 *
 * @param resources gets what takes away what is made for it.
 * @throws KataError with the data hub's words for a secret that it does not give.
 */
export async function withGuestsOwn(
  { id, spec, storages }: { readonly id: string; readonly spec: Spec; readonly storages: readonly Storage[] },
  timeouts: DataHubTimeouts,
  resources: Rollback,
): Promise<Spec> {
  const hub = new DataHub(timeouts);
  // A hub has an image of its own for it.
  const own = hub.isThere ? spec : withPauseProgram(spec, storages);
  const inFiles = await withUnsealedFiles(own, hub, id, (undo) => resources.add(`secrets of ${id}`, undo));
  return await withUnsealedEnvironment(inFiles, hub);
}
