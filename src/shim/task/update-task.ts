/** Update: other limits for a running container. */
import { KataError } from "../../kata-error.ts";
import { parseLinuxResources, parseSpecJson } from "../../oci/parse-spec.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { LINUX_RESOURCES_TYPE, messageName, type PackedMessage } from "../any-type.ts";
import type { Pod } from "../pod/pod.ts";

/** @throws KataError `invalid-argument` for what is no limits, `failed-precondition` once it has ended. */
export async function updateTask(pod: Pod, id: string, resources: PackedMessage | undefined): Promise<void> {
  const { init } = pod.container(id);
  if (resources === undefined || messageName(resources.typeUrl) !== messageName(LINUX_RESOURCES_TYPE)) {
    throw new KataError("invalid-argument", {
      operation: "update container",
      object: `resources of type ${JSON.stringify(resources?.typeUrl ?? "")}`,
      hint: `they are ${LINUX_RESOURCES_TYPE}`,
    });
  }
  if (init.state.name === "stopped") {
    throw new KataError("failed-precondition", { operation: "update container", object: `${id} is stopped` });
  }
  const limits = parseLinuxResources(parseSpecJson(utf8Decode(resources.value), "resources"));
  await pod.sandbox.update(id, limits);
}
