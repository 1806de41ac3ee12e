/** A private containerd that runs this project's shim from the build directory, with the guest that was built beside it. */
import { BUILT_PROGRAMS, type Configuration, writeKataConfiguration } from "./kata-configuration.ts";
import { PrivateContainerd, type PrivateContainerdOptions } from "./private-containerd.ts";

/** @param changes to the configuration that shims of this instance read unless a container names another. */
export async function startKataContainerd(
  options: Omit<PrivateContainerdOptions, "env"> = {},
  changes: Configuration = {},
): Promise<PrivateContainerd> {
  return await PrivateContainerd.start({
    ...options,
    searchFirst: [BUILT_PROGRAMS, ...(options.searchFirst ?? [])],
    env: (directory) => ({ KATA_CONF_FILE: writeKataConfiguration(directory, "configuration", changes) }),
  });
}
