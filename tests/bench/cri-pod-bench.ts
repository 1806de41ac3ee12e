/**
 * `cri-pod`: RunPodSandbox, CreateContainer and StartContainer as a kubelet calls them, with runc and with this project's runtime in
 * turn, in a containerd with Kubernetes' interface on.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { containerdVersion } from "../harness/containerd-versions.ts";
import { Cri, type CriPod, criConfiguration, importForKubernetes } from "../harness/cri.ts";
import { busyboxImage, PAUSE_IMAGE, pauseImage } from "../harness/images.ts";
import { startKataContainerd } from "../harness/kata-containerd.ts";
import { RUNC_RUNTIME } from "../harness/subject.ts";
import { type Figure, figure } from "./figure.ts";
import type { KataSubjects } from "./subjects.ts";

const KATA = "kata";
const RUNC = "runc";

/** Pods of a template and of a pool have the same runtime handler: the configuration file is the instance's. */
export async function criPods(kata: KataSubjects, rounds: number): Promise<Figure[]> {
  const version = await containerdVersion(undefined);
  const ours = criConfiguration({ [KATA]: {} }, { pause: PAUSE_IMAGE, version });
  const runc = [
    `[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${RUNC}]`,
    `runtime_type = "${RUNC_RUNTIME}"`,
    "",
  ].join("\n");
  const options = withOptions(kata.poolFile);
  await using containerd = await startKataContainerd({
    cri: (directory) => `${ours(directory)}${options}${runc}`,
  });
  const image = await busyboxImage();
  for (const each of [image, await pauseImage()]) await importForKubernetes(containerd.ctr, each);
  using cri = new Cri(containerd.address.socket);
  const samples = new Map<string, number[]>([
    ["runc", []],
    ["kata-pool", []],
  ]);
  for (let round = 0; round <= rounds; round++) {
    for (const [name, handler] of [
      ["runc", RUNC],
      ["kata-pool", KATA],
    ] as const) {
      await kata.ready();
      const ms = await onePod(cri, containerd.address.directory, image.name, handler, round);
      if (round > 0) samples.get(name)?.push(ms);
    }
  }
  return [...samples].map(([name, times]) => figure("cri-pod", name, "ms", times));
}

function withOptions(configuration: string): string {
  return [
    `[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${KATA}.options]`,
    `ConfigPath = "${configuration}"`,
    "",
  ].join("\n");
}

/** @returns ms from the first call to a container that runs. */
async function onePod(
  cri: Cri,
  directory: string,
  image: string,
  runtimeHandler: string,
  round: number,
): Promise<number> {
  const name = `${runtimeHandler}-${round}`;
  const logDirectory = join(directory, "logs", name);
  mkdirSync(logDirectory, { recursive: true });
  const metadata = { name, uid: `${name}-uid`, namespace: "bench" };
  const config: CriPod["config"] = { metadata, hostname: "bench", logDirectory };
  const began = performance.now();
  const { podSandboxId } = await cri.calls.runPodSandbox({ config, runtimeHandler });
  try {
    const pod = { id: podSandboxId, config };
    await cri.runContainer(pod, { name: "c", attempt: 0 }, image, "while :; do sleep 1000; done");
    return performance.now() - began;
  } finally {
    await cri.calls.stopPodSandbox({ podSandboxId });
    await cri.calls.removePodSandbox({ podSandboxId });
  }
}
