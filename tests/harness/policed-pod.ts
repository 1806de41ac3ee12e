/**
 * A pod with the policy that genpolicy makes of its YAML, on a host of our own that can say to the agent what it likes: see
 * tampering-monitor.ts.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import {
  type AgentServiceClient,
  agentServiceClient,
  type CreateContainerRequest,
  decodeCreateContainerRequest,
  decodeExecProcessRequest,
  type ExecProcessRequest,
} from "../../build/generated/agent.ts";
import { buildNodeProgram } from "../../scripts/build/node-program.ts";
import { TtrpcClient } from "../../src/rpc/client.ts";
import { mustRun } from "./command.ts";
import { type SuiteInstance, startContainerdOfSuite } from "./containerd-of-suite.ts";
import { Cri } from "./cri.ts";
import { busyboxImage, type Image, PAUSE_IMAGE, pauseImage } from "./images.ts";
import { BUILT_PROGRAMS } from "./kata-configuration.ts";
import { nodeByteStream, nodeClock } from "./node-byte-stream.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const MONITOR = { entry: "tests/harness/tampering-monitor.ts", output: "build/test/tampering-monitor" };
const QEMU = process.arch === "arm64" ? "/usr/bin/qemu-system-aarch64" : "/usr/bin/qemu-system-x86_64";
const GENPOLICY_DEADLINE_MS = 120_000;
/** What Kubernetes hides of /proc in every container. Source: Kubernetes, pkg/securitycontext. */
const MASKED = "asound acpi kcore keys latency_stats timer_list timer_stats sched_debug scsi";
const READ_ONLY = "bus fs irq sys sysrq-trigger";
/** Pod and own. Source: CRI, NamespaceMode. */
const NAMESPACES = { network: 0, pid: 1, ipc: 0 };
const POD_UID = "9c64c5bf-298f-46c4-ad63-e2270a2ff44c";

export interface PolicedContainer {
  readonly name: string;
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
  /** Empty volumes of the pod's by their names, and where the container has them. */
  readonly emptyDirs?: Readonly<Record<string, string>>;
}

export class PolicedPod implements AsyncDisposable {
  readonly cri: Cri;
  readonly containerId: string;
  readonly podId: string;
  readonly #instance: SuiteInstance;
  readonly #directory: string;
  #client: TtrpcClient | undefined;

  private constructor(
    instance: SuiteInstance,
    directory: string,
    cri: Cri,
    ids: { readonly pod: string; readonly container: string },
  ) {
    this.#instance = instance;
    this.#directory = directory;
    this.cri = cri;
    this.podId = ids.pod;
    this.containerId = ids.container;
  }

  /**
   * Makes the policy of `yaml`, a pod with one container, and runs it as a kubelet would.
   *
   * @param layered the container's image; if there is one, layers are verified disks, and the policy binds them; what the container writes
   * and empty volumes are on disks, too.
   */
  static async run(yaml: string, container: PolicedContainer, layered?: Image): Promise<PolicedPod> {
    await buildNodeProgram(ROOT, MONITOR);
    const directory = mkdtempSync(join(tmpdir(), "kata-policed-"));
    let instance: SuiteInstance | undefined;
    try {
      const annotations = await makePolicy(directory, yaml, layered);
      const monitor = join(directory, "qemu");
      const command = [process.execPath, join(ROOT, MONITOR.output), directory, QEMU].join(" ");
      writeFileSync(monitor, `#!/bin/sh\nexec ${command} "$@"\n`);
      chmodSync(monitor, 0o755);
      instance = await startContainerdOfSuite(
        {
          "hypervisor.qemu": {
            path: monitor,
            valid_hypervisor_paths: [monitor],
            enable_annotations: ["cc_init_data"],
          },
          // A saved machine has been started by another monitor.
          factory: { enable_template: false },
          // It reads its policy before it answers, which takes seconds on a busy machine.
          "agent.kata": { dial_timeout: 150 },
          ...(layered === undefined ? {} : { runtime: DISKS }),
        },
        layered,
      );
      const cri = new Cri(instance.containerd.address.socket);
      const ids = await startPod(cri, directory, instance.image, annotations, container);
      return new PolicedPod(instance, directory, cri, ids);
    } catch (error) {
      const log = instance?.containerd.log.split("\n").slice(-30).join("\n") ?? "";
      await instance?.[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
      throw new Error(`the pod does not run\n${log}`, { cause: error });
    }
  }

  /** The agent, as the host's tampering finds it. */
  async agent(): Promise<AgentServiceClient> {
    const path = join(this.#directory, "tamper.sock");
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    this.#client = new TtrpcClient(nodeByteStream(socket), { clock: nodeClock });
    return agentServiceClient(this.#client);
  }

  /** The request that the shim created the container with. */
  createRequest(): CreateContainerRequest {
    const requests = this.#requests("CreateContainer").map(decodeCreateContainerRequest);
    const found = requests.find(({ containerId }) => containerId === this.containerId);
    if (found === undefined) throw new Error("the shim has not created the container");
    return found;
  }

  /** The last request of the shim to run a process. */
  execRequest(): ExecProcessRequest {
    const found = this.#requests("ExecProcess").map(decodeExecProcessRequest).at(-1);
    if (found === undefined) throw new Error("the shim has run no process");
    return found;
  }

  #requests(wanted: string): Uint8Array[] {
    const lines = readFileSync(join(this.#directory, "requests.jsonl"), "utf8").trim().split("\n");
    return lines
      .map((line) => JSON.parse(line) as { readonly method: string; readonly payload: string })
      .filter(({ method }) => method === wanted)
      .map(({ payload }) => Buffer.from(payload, "base64"));
  }

  /** Runs a command beside the container's program. */
  async exec(...cmd: string[]): Promise<{ readonly stdout: string; readonly status: number }> {
    const { stdout, exitCode } = await this.cri.calls.execSync({
      containerId: this.containerId,
      cmd,
      timeout: 60n,
    });
    return { stdout: new TextDecoder().decode(stdout), status: exitCode };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.close();
    try {
      await this.cri.calls.stopPodSandbox({ podSandboxId: this.podId });
      await this.cri.calls.removePodSandbox({ podSandboxId: this.podId });
    } finally {
      this.cri[Symbol.dispose]();
      await this.#instance[Symbol.asyncDispose]();
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }
}

const DISKS = { emptydir_mode: "block-plain", layer_changes: "block-plain", layer_changes_disk_size: 256 };

const replace = (path: string, value: unknown) => ({ op: "replace", path, value });

/** @returns the pod's annotations with its policy. */
async function makePolicy(directory: string, yaml: string, layered?: Image): Promise<Map<string, string>> {
  const layout = join(directory, "images");
  mkdirSync(layout);
  const manifests: unknown[] = [];
  for (const { archive } of [layered ?? (await busyboxImage()), await pauseImage()]) {
    execFileSync("tar", ["-xf", archive, "-C", layout]);
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as { manifests: unknown[] };
    manifests.push(...index.manifests);
  }
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  const settings = join(directory, "settings");
  const dropIns = join(settings, "genpolicy-settings.d");
  mkdirSync(dropIns, { recursive: true });
  const rules = join(ROOT, "src/policy/rules");
  cpSync(join(rules, "genpolicy-settings.json"), join(settings, "genpolicy-settings.json"));
  const host = "10-non-coco-aks-drop-in.json";
  const layers = layered === undefined ? [] : ["20-erofs-layers-drop-in.json"];
  const disks =
    layered === undefined
      ? []
      : [
          replace("/cluster_config/emptydir_type", DISKS.emptydir_mode),
          { op: "add", path: "/cluster_config/layer_changes", value: DISKS.layer_changes },
        ];
  for (const name of [host, ...layers]) cpSync(join(rules, "drop-ins", name), join(dropIns, name));
  const changes = [
    ...disks,
    replace("/cluster_config/pause_container_image", PAUSE_IMAGE),
    replace("/pause_container/Process/Args", []),
    replace("/kata_config/oci_version", OCI_VERSION),
  ];
  writeFileSync(join(dropIns, "50-test.json"), JSON.stringify(changes));
  const file = join(directory, "pod.yaml");
  writeFileSync(file, yaml);
  await mustRun(join(BUILT_PROGRAMS, "genpolicy"), ["-y", file, "-j", settings, "--oci-layout", layout], {
    deadlineMs: GENPOLICY_DEADLINE_MS,
  });
  const pod = parse(readFileSync(file, "utf8")) as { metadata: { annotations: Record<string, string> } };
  return new Map(Object.entries(pod.metadata.annotations));
}

/** Of the specifications that the newest containerd writes. */
const OCI_VERSION = "1.2.1";

async function startPod(
  cri: Cri,
  directory: string,
  image: string,
  annotations: Map<string, string>,
  { name, script, env, emptyDirs = {} }: PolicedContainer,
): Promise<{ readonly pod: string; readonly container: string }> {
  const metadata = { name: "web", uid: POD_UID, namespace: "default" };
  const config = {
    metadata,
    hostname: "web",
    // Nothing is written there: containers have no log.
    logDirectory: `/var/log/pods/default_web_${POD_UID}`,
    annotations,
    linux: { securityContext: { namespaceOptions: NAMESPACES } },
  };
  const { podSandboxId } = await cri.calls.runPodSandbox({ config, runtimeHandler: "paused" });
  const shared = (file: string) => {
    const path = join(directory, file);
    if (!existsSync(path)) writeFileSync(path, "127.0.0.1 localhost\n");
    return path;
  };
  const { containerId } = await cri.calls.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name },
      image: { image },
      command: ["sh", "-c", script],
      envs: Object.entries(env).map(([key, value]) => ({ key, value })),
      mounts: [
        { containerPath: "/etc/hosts", hostPath: shared("etc-hosts") },
        { containerPath: "/dev/termination-log", hostPath: shared("3f2504e0") },
        ...Object.entries(emptyDirs).map(([volume, containerPath]) => {
          const hostPath = join(directory, "pods", POD_UID, "volumes/kubernetes.io~empty-dir", volume);
          mkdirSync(hostPath, { recursive: true, mode: 0o777 });
          return { containerPath, hostPath };
        }),
      ],
      linux: {
        securityContext: {
          namespaceOptions: NAMESPACES,
          maskedPaths: [...MASKED.split(" ").map((file) => `/proc/${file}`), "/sys/firmware"],
          readonlyPaths: READ_ONLY.split(" ").map((file) => `/proc/${file}`),
        },
      },
    },
  });
  await cri.calls.startContainer({ containerId });
  return { pod: podSandboxId, container: containerId };
}
