/** `update`: other limits for a running container. */
import { parseLinuxResources, parseSpecJson, stringifySpec } from "../../oci/parse-spec.ts";
import type { LinuxResources } from "../../oci/types.ts";
import { LINUX_RESOURCES_TYPE } from "../../shim/any-type.ts";
import { readTextFile } from "../../sys/files.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { textFlag } from "../flag-values.ts";
import { EXIT_OK } from "../types.ts";
import { type ContainerCall, idOf } from "./container-call.ts";
import { findContainer } from "./runtime-root.ts";
import { CALL, TaskConnection } from "./task-connection.ts";
import { resourcesToSet } from "./update-resources.ts";

export async function runUpdate(call: ContainerCall): Promise<number> {
  const directory = findContainer(call.root, idOf(call));
  const resources = resourcesToSet(givenResources(textFlag(call.flags, "resources")), call.flags);
  using connection = await TaskConnection.open(directory);
  const value = utf8Encode(stringifySpec(resources));
  await connection.calls.update(
    { id: directory.id, resources: { typeUrl: LINUX_RESOURCES_TYPE, value } },
    CALL,
  );
  return EXIT_OK;
}

function givenResources(file: string | undefined): LinuxResources {
  if (file === undefined) return {};
  const path = file === "-" ? "/dev/stdin" : file;
  return parseLinuxResources(parseSpecJson(readTextFile(path), file));
}
