/** What the shim says about itself. */
export const SHIM_NAME = "containerd-shim-kata-v2";
/** The name that containerd's configuration uses. */
export const RUNTIME_NAME = "io.containerd.kata.v2";
export { VERSION as SHIM_VERSION } from "../version.ts";
