/** What of the specification works, by this host's configuration: for the command line, and for containerd. */
import { hasCode } from "../kata-error.ts";
import { runtimeFeatures } from "../oci/features.ts";
import { kernel } from "../sys/kernel.ts";
import { environment } from "../sys/program.ts";
import { COMMIT, OCI_SPECS_VERSION, VERSION } from "../version.ts";
import { loadConfiguration } from "./load-configuration.ts";

const HOOKS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/** The features document. @param configuration the file that was asked for; empty for the usual places. */
export function hostFeatures(configuration: string): ReturnType<typeof runtimeFeatures> {
  return runtimeFeatures({
    architecture: kernel().architecture,
    seccomp: filtersSystemCalls(configuration),
    hooks: HOOKS,
    ociVersion: OCI_SPECS_VERSION,
    version: VERSION,
    commit: COMMIT,
  });
}

/** Without a configuration nothing runs, and the question is answered all the same: with the default. */
function filtersSystemCalls(file: string): boolean {
  try {
    const { runtime } = loadConfiguration({ option: file, environment: environment.KATA_CONF_FILE ?? "" });
    return !runtime.disable_guest_seccomp;
  } catch (error) {
    if (hasCode(error, "invalid-configuration", "not-found", "system-call", "permission-denied"))
      return false;
    throw error;
  }
}
