/**
 * The image of a pod's first container where the guest pulls images: there is nothing to pull. Its program is the agent's own, which
 * does nothing then.
 * Source: upstream's agent (the image that it calls `pause` is in the guest, and so is what the container runs).
 */
import type { Spec } from "../../oci/types.ts";
import { fchmod, mkdirAll, O_CREAT, O_RDONLY, O_WRONLY, open } from "../../sys/files.ts";
import { listenForSignals, SIGINT, SIGTERM } from "../../sys/process.ts";
import { copySparse } from "../../sys/sparse-copy.ts";
import { ChildReaper } from "../child-reaper.ts";
import type { Storage } from "../storage/storage.ts";

/** What hosts call it. */
export const PAUSE_IMAGE = "pause";
/** Makes the agent do nothing but wait for its end. */
export const PAUSE_FLAG = "--pause";
const PROGRAM = "/pause";

/** Fills `root`, an empty directory. */
export async function makePauseRoot(root: string): Promise<void> {
  for (const name of ["dev", "etc", "proc", "sys", "tmp"]) mkdirAll(`${root}/${name}`);
  using own = open("/proc/self/exe", O_RDONLY);
  using copy = open(`${root}${PROGRAM}`, O_WRONLY | O_CREAT, 0o755);
  await copySparse(own.fd, copy.fd);
  fchmod(copy.fd, 0o755);
}

/** The specification of a container whose image is {@link PAUSE_IMAGE}, with what is in it as its program. */
export function withPauseProgram(spec: Spec, storages: readonly Storage[]): Spec {
  const isPause = storages.some(
    ({ driver, source }) => driver === "image_guest_pull" && source === PAUSE_IMAGE,
  );
  if (!isPause || spec.process === undefined) return spec;
  return { ...spec, process: { ...spec.process, args: [PROGRAM, PAUSE_FLAG], cwd: "/" } };
}

/** Waits to be ended, and takes care of orphans, as the first process of a pod that shares its processes. @returns 0. */
export async function pause(): Promise<number> {
  using _orphans = new ChildReaper();
  await new Promise<void>((resolve) => {
    listenForSignals([SIGTERM, SIGINT], () => resolve());
  });
  return 0;
}
