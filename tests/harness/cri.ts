/**
 * Kubernetes' interface of a private containerd, spoken as a kubelet does, without images to pull or a network to reach: pods get
 * a link whose other end is the host's, and goes with their network namespace.
 */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runtimeServiceClient } from "../../build/generated/cri.ts";
import { GrpcCaller } from "../../src/monitor/grpc-caller.ts";
import type { Ctr } from "./ctr.ts";
import { type Image, importImage } from "./images.ts";
import { KATA_RUNTIME } from "./subject.ts";

/** containerd's namespace of everything that Kubernetes has. */
export const KUBERNETES_NAMESPACE = "k8s.io";

/** What a pod's link has. */
export const POD_ADDRESS = "10.89.0.2";

/** CNI's protocol, in a shell. `loopback` is asked for first by containerd before 2.0. Source: CNI specification 1.0. */
const CNI_PLUGIN = `#!/bin/sh -e
inside() { nsenter --net="$CNI_NETNS" "$@"; }
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}' ;;
ADD)
  cat > /dev/null
  if [ "\${0##*/}" = loopback ]; then
    inside ip link set lo up
    echo '{"cniVersion":"0.3.1","interfaces":[{"name":"lo","sandbox":"'"$CNI_NETNS"'"}],"ips":[{"version":"4","interface":0,"address":"127.0.0.1/8"}]}'
    exit
  fi
  host_end="cri-$(printf %.8s "$CNI_CONTAINERID")"
  inside ip link add "$CNI_IFNAME" type veth peer name "$host_end" netns $$
  ip link set "$host_end" up
  inside ip address add ${POD_ADDRESS}/24 dev "$CNI_IFNAME"
  inside ip link set "$CNI_IFNAME" up
  echo '{"cniVersion":"1.0.0","interfaces":[{"name":"'"$CNI_IFNAME"'","sandbox":"'"$CNI_NETNS"'"}],"ips":[{"interface":0,"address":"${POD_ADDRESS}/24"}]}'
  ;;
*) cat > /dev/null ;;
esac
`;

export interface CriRuntime {
  /** `shim`: containerd's sandbox service; without it a pause container. */
  readonly sandboxer?: "shim";
  /** How the streams of containers reach the shim. */
  readonly ioType?: "streaming";
}

export interface CriOptions {
  /** Image of pause containers. */
  readonly pause: string;
  /** What images are unpacked with, if not containerd's own choice. */
  readonly snapshotter?: string;
  /** Of containerd. */
  readonly version: string;
}

/** For PrivateContainerdOptions.cri: one runtime of Kata Containers a name. Version 2 of the configuration suits 1.6 to 2.x. */
export function criConfiguration(
  runtimes: Readonly<Record<string, CriRuntime>>,
  { pause, version, snapshotter }: CriOptions,
): (directory: string) => string {
  return (directory) => {
    const plugins = join(directory, "cni-plugins");
    mkdirSync(plugins, { recursive: true });
    writeFileSync(join(plugins, "kata-test"), CNI_PLUGIN);
    chmodSync(join(plugins, "kata-test"), 0o755);
    copyFileSync(join(plugins, "kata-test"), join(plugins, "loopback"));
    mkdirSync(join(directory, "cni"), { recursive: true });
    const network = { cniVersion: "1.0.0", name: "kata-test", plugins: [{ type: "kata-test" }] };
    writeFileSync(join(directory, "cni/10-test.conflist"), JSON.stringify(network));
    const sandboxerKey = version.startsWith("1.") ? "sandbox_mode" : "sandboxer";
    const cri = 'plugins."io.containerd.grpc.v1.cri"';
    return [
      `[${cri}]`,
      `sandbox_image = "${pause}"`,
      'stream_server_address = "127.0.0.1"',
      "netns_mounts_under_state_dir = true",
      "disable_apparmor = true",
      "tolerate_missing_hugetlb_controller = true",
      // Where the tests run in a container themselves, a score below its own is refused.
      "restrict_oom_score_adj = true",
      `[${cri}.containerd]`,
      `default_runtime_name = "${Object.keys(runtimes)[0]}"`,
      ...(snapshotter === undefined ? [] : ["disable_snapshot_annotations = false"]),
      ...Object.entries(runtimes).flatMap(([name, { sandboxer, ioType }]) => [
        `[${cri}.containerd.runtimes.${name}]`,
        `runtime_type = "${KATA_RUNTIME}"`,
        'pod_annotations = ["io.katacontainers.*"]',
        ...(snapshotter === undefined ? [] : [`snapshotter = "${snapshotter}"`]),
        ...(sandboxer === undefined ? [] : [`${sandboxerKey} = "${sandboxer}"`]),
        ...(ioType === undefined ? [] : [`io_type = "${ioType}"`]),
      ]),
      `[${cri}.cni]`,
      `bin_dir = "${plugins}"`,
      `conf_dir = "${join(directory, "cni")}"`,
      "",
    ].join("\n");
  };
}

/** Makes an image known to pods. */
export async function importForKubernetes(ctr: Ctr, image: Image): Promise<void> {
  await importImage(ctr.in(KUBERNETES_NAMESPACE), image);
}

/** A kubelet's side of a connection. */
export class Cri implements Disposable {
  readonly calls: ReturnType<typeof runtimeServiceClient>;
  readonly #caller: GrpcCaller;

  constructor(socket: string) {
    this.#caller = new GrpcCaller(socket);
    this.calls = runtimeServiceClient(this.#caller);
  }

  /** Creates and starts a container that runs a shell script; its log is named after it. @returns its id. */
  async runContainer(
    pod: CriPod,
    metadata: { readonly name: string; readonly attempt: number },
    image: string,
    script: string,
  ): Promise<string> {
    const { containerId } = await this.calls.createContainer({
      podSandboxId: pod.id,
      sandboxConfig: pod.config,
      config: {
        metadata,
        image: { image },
        command: ["sh", "-c", script],
        logPath: `${metadata.name}-${metadata.attempt}.log`,
      },
    });
    await this.calls.startContainer({ containerId });
    return containerId;
  }

  /** Runs a shell script beside a container's own program. @returns what it wrote, and its status. */
  async exec(
    containerId: string,
    script: string,
  ): Promise<{ stdout: string; stderr: string; status: number }> {
    const { stdout, stderr, exitCode } = await this.calls.execSync({
      containerId,
      cmd: ["sh", "-c", script],
      timeout: 60n,
    });
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { stdout: text(stdout), stderr: text(stderr), status: exitCode };
  }

  [Symbol.dispose](): void {
    this.#caller[Symbol.dispose]();
  }
}

export interface CriPod {
  readonly id: string;
  readonly config: NonNullable<
    Parameters<ReturnType<typeof runtimeServiceClient>["runPodSandbox"]>[0]["config"]
  >;
}
