/** `features`: what of the specification works, by this host's configuration. */
import { hostFeatures } from "../../sandbox/host-features.ts";
import { EXIT_OK } from "../types.ts";
import type { ContainerCall } from "./container-call.ts";

export async function runFeatures(call: ContainerCall): Promise<number> {
  call.output.data(`${JSON.stringify(hostFeatures(call.configuration), null, 2)}\n`);
  return EXIT_OK;
}
