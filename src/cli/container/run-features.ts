/** `features`: what of the specification works, by this host's configuration. */
import { hasCode } from "../../kata-error.ts";
import { runtimeFeatures } from "../../oci/features.ts";
import { loadConfiguration } from "../../sandbox/load-configuration.ts";
import { kernel } from "../../sys/kernel.ts";
import { environment } from "../../sys/program.ts";
import { COMMIT, OCI_SPECS_VERSION, VERSION } from "../../version.ts";
import { EXIT_OK } from "../types.ts";
import type { ContainerCall } from "./container-call.ts";

const HOOKS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

export async function runFeatures(call: ContainerCall): Promise<number> {
  const features = runtimeFeatures({
    architecture: kernel().architecture,
    seccomp: filtersSystemCalls(call.configuration),
    hooks: HOOKS,
    ociVersion: OCI_SPECS_VERSION,
    version: VERSION,
    commit: COMMIT,
  });
  call.output.data(`${JSON.stringify(features, null, 2)}\n`);
  return EXIT_OK;
}

/** Without a configuration nothing runs, and the question is answered all the same: with the default. */
function filtersSystemCalls(file: string): boolean {
  try {
    const { runtime } = loadConfiguration({ option: file, environment: environment.KATA_CONF_FILE ?? "" });
    return !runtime.disable_guest_seccomp;
  } catch (error) {
    if (hasCode(error, "invalid-configuration", "not-found", "system-call")) return false;
    throw error;
  }
}
