/** What a bundle is for, by the specification in it, or by its place where there is none. */
import { hasCode } from "../kata-error.ts";
import { environment } from "../sys/program.ts";
import { type ContainerRole, containerRole } from "./grouping.ts";
import { readSpec } from "./read-spec.ts";

/** Where containerd from 2.0 on has the bundles of sandboxes that it brings up through the sandbox service. */
const CONTROLLER_DIRECTORY = "/io.containerd.sandbox.controller.v1.shim/";

/** In the environment of shims that containerd from 1.7 on starts. Before, there are no sandboxes without a container. */
const SINCE_1_7 = "MAX_SHIM_VERSION";

export type BundleRole =
  | ContainerRole
  /** A sandbox without a first container, brought up through the sandbox service. */
  | { readonly role: "controlled"; readonly daemon: "1.7" | "2.x" };

/**
 * The role of `bundle`.
 *
 * @throws KataError `invalid-argument` for a malformed specification, `not-found` if there should be one.
 */
export function bundleRole(bundle: string): BundleRole {
  // Some clients bring a specification with nothing in it.
  if (`${bundle}/`.includes(CONTROLLER_DIRECTORY)) return { role: "controlled", daemon: "2.x" };
  try {
    return containerRole(readSpec(bundle).annotations ?? {});
  } catch (error) {
    if (!hasCode(error, "not-found") || environment[SINCE_1_7] === undefined) throw error;
    return { role: "controlled", daemon: "1.7" };
  }
}
