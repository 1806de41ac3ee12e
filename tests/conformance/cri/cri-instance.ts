/**
 * A private containerd with Kubernetes' interface on: one runtime is its default, images come from the local registry, pods get
 * addresses from CNI's bridge plug-in. It has to run in a network namespace of the tests: bridge and rules of the firewall are that
 * namespace's.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "../../harness/command.ts";
import { eventually } from "../../harness/eventually.ts";
import { processesOf } from "../../harness/instance-processes.ts";
import {
  BUILT_PROGRAMS,
  type Configuration,
  writeKataConfiguration,
} from "../../harness/kata-configuration.ts";
import { PrivateContainerd } from "../../harness/private-containerd.ts";
import { KATA_RUNTIME, RUNC_RUNTIME } from "../../harness/subject.ts";
import { PAUSE_IMAGE, registriesOf, TEST_IMAGES } from "./image-table.ts";

export type RuntimeName = "runc" | "kata";

/** As long as a pod on an emulated processor may take to end, of which a run leaves only those of failed specs, ms. */
const REMOVAL_DEADLINE_MS = 120_000;

/** Filters of system calls are off by default, as upstream's are. */
const AS_RUNC: Configuration = { runtime: { disable_guest_seccomp: false } };

/** From the removal of the last pod to the end of the programs that served it, ms. */
const END_DEADLINE_MS = 30_000;

export interface CriInstanceOptions {
  readonly runtime: RuntimeName;
  /** Directory of containerd's programs; without it they come from PATH. */
  readonly containerd?: string | undefined;
  /** Directory of the CNI plug-ins. */
  readonly plugins: string;
  /** Where the registry answers. */
  readonly registry: string;
  readonly crictl: string;
  /** To the configuration of Kata Containers. */
  readonly kata?: Configuration;
}

/** A running instance; the end of its scope removes its pods, stops it and removes all it made. */
export class CriInstance implements AsyncDisposable {
  readonly runtime: RuntimeName;
  readonly containerd: PrivateContainerd;
  readonly #crictl: string;

  private constructor(runtime: RuntimeName, containerd: PrivateContainerd, crictl: string) {
    this.runtime = runtime;
    this.containerd = containerd;
    this.#crictl = crictl;
  }

  static async start(options: CriInstanceOptions): Promise<CriInstance> {
    const containerd = await PrivateContainerd.start({
      ...(options.containerd === undefined ? {} : { binaries: options.containerd }),
      searchFirst: [BUILT_PROGRAMS],
      env: (directory) => ({
        KATA_CONF_FILE: writeKataConfiguration(directory, "configuration", options.kata ?? AS_RUNC),
      }),
      cri: (directory) => {
        writeNetwork(directory);
        writeMirrors(directory, options.registry);
        return criConfiguration(directory, options);
      },
    });
    return new CriInstance(options.runtime, containerd, options.crictl);
  }

  /** Where CRI's clients connect. */
  get endpoint(): string {
    return `unix://${this.containerd.address.socket}`;
  }

  /** Runs `crictl ARGS`; @throws Error unless it exits with 0. @returns its stdout. */
  async crictl(args: readonly string[], deadlineMs = REMOVAL_DEADLINE_MS): Promise<string> {
    const endpoint = ["--runtime-endpoint", this.endpoint, "--timeout", `${deadlineMs / 1000}s`];
    return await mustRun(this.#crictl, [...endpoint, ...args], { deadlineMs });
  }

  /** @throws Error that lists the programs of pods that have been removed. */
  async #expectNothingLeft(): Promise<void> {
    const left = () =>
      processesOf(this.containerd.address.tag).filter(
        ({ name, state }) => state !== "Z" && POD_PROGRAMS.test(name),
      );
    await eventually(
      "the end of what served pods",
      END_DEADLINE_MS,
      () => left().length === 0 || undefined,
      () =>
        left()
          .map(({ pid, argv }) => `${pid} ${argv.join(" ")}`)
          .join("\n"),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.crictl(["rmp", "--all", "--force"]);
      await this.#expectNothingLeft();
    } finally {
      await this.containerd[Symbol.asyncDispose]();
    }
  }
}

/** What serves a pod. */
const POD_PROGRAMS = /^(containerd-shim|qemu-system|virtiofsd|kata)/;

/** Addresses that only the tests' network namespace knows. */
function writeNetwork(directory: string): void {
  mkdirSync(join(directory, "cni"), { recursive: true });
  const network = {
    cniVersion: "1.0.0",
    name: "kata-test",
    plugins: [
      {
        type: "bridge",
        bridge: "kata-test0",
        isGateway: true,
        ipMasq: true,
        promiscMode: true,
        ipam: {
          type: "host-local",
          ranges: [[{ subnet: "10.88.0.0/16" }]],
          routes: [{ dst: "0.0.0.0/0" }],
          dataDir: join(directory, "cni-addresses"),
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
  writeFileSync(join(directory, "cni/10-test.conflist"), JSON.stringify(network));
}

/** Sends containerd to the local registry, whatever registry an image's name begins with. */
function writeMirrors(directory: string, registry: string): void {
  for (const name of registriesOf(TEST_IMAGES)) {
    mkdirSync(join(directory, "mirrors", name), { recursive: true });
    writeFileSync(
      join(directory, "mirrors", name, "hosts.toml"),
      `server = "${registry}"\n[host."${registry}"]\ncapabilities = ["pull", "resolve"]\n`,
    );
  }
}

/** In the form of version 2, which 1.6 to 2.x read. */
function criConfiguration(directory: string, { runtime, plugins }: CriInstanceOptions): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `
[${cri}]
sandbox_image = "${PAUSE_IMAGE}"
stream_server_address = "127.0.0.1"
stream_server_port = "0"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[${cri}.containerd]
default_runtime_name = "${runtime}"
snapshotter = "overlayfs"
[${cri}.containerd.runtimes.runc]
runtime_type = "${RUNC_RUNTIME}"
[${cri}.containerd.runtimes.runc.options]
Root = "${directory}/runc"
[${cri}.containerd.runtimes.kata]
runtime_type = "${KATA_RUNTIME}"
privileged_without_host_devices = true
pod_annotations = ["io.katacontainers.*"]
[${cri}.registry]
config_path = "${directory}/mirrors"
[${cri}.cni]
bin_dir = "${plugins}"
conf_dir = "${directory}/cni"
`;
}
