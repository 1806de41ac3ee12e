/**
 * What tests with `KATA_TEST_HYPERVISOR=remote` need beside containerd: the service that stands in for a cloud's, and a registry that
 * its guests pull from over the network of their own.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { eventually } from "./eventually.ts";
import { ImageRegistry } from "./image-registry.ts";
import { busyboxImage } from "./images.ts";
import { listProcesses, type ProcessEntry } from "./processes.ts";

const ROOT = join(import.meta.dirname, "../..");
const PROGRAM = join(ROOT, "build/test/stand-in-remote-hypervisor");
/** Short, as sockets lie in it. */
const DIRECTORY_PREFIX = "/tmp/kr-";
const START_DEADLINE_MS = 10_000;
/** How guests call this host. */
const HOST_AS_GUESTS_SEE_IT = "10.0.2.2";

/** In the environment of tests: the service's socket, and what stands before the names of images. */
const SOCKET_VARIABLE = "KATA_TEST_REMOTE_SOCKET";
const IMAGES_VARIABLE = "KATA_TEST_REMOTE_IMAGES";

export function isRemote(): boolean {
  return process.env.KATA_TEST_HYPERVISOR === "remote";
}

/** Where the service of this run listens. */
export function remoteHypervisorSocket(): string {
  const socket = process.env[SOCKET_VARIABLE];
  if (socket === undefined) throw new Error("no remote hypervisor was started for these tests");
  return socket;
}

/** What guests pull `image` by; undefined where they pull nothing. */
export function guestImageName(image: string): string | undefined {
  const images = process.env[IMAGES_VARIABLE];
  if (images === undefined || image.startsWith(`${images}/`)) return images === undefined ? undefined : image;
  return `${images}/${image.replace(/^localhost\//, "")}`;
}

/** Flags of `ctr run` that name a container's image to the guest, as a kubelet's containerd does in an annotation. */
export function imageFlags(image: string): string[] {
  const name = guestImageName(image);
  return name === undefined ? [] : ["--annotation", `io.kubernetes.cri.image-name=${name}`];
}

/** Starts both, and tells tests where they are. @param guest kernel and initial file system. */
export async function startRemoteHypervisor(guest: {
  readonly kernel: string;
  readonly initrd: string;
}): Promise<AsyncDisposable> {
  const directory = mkdtempSync(DIRECTORY_PREFIX);
  const registry = await ImageRegistry.start();
  await registry.addArchive("busybox:latest", (await busyboxImage()).archive);
  const images = `${HOST_AS_GUESTS_SEE_IT}:${registry.port}`;
  const socket = join(directory, "h.sock");
  const parameters = [
    `agent.image_insecure_registries=${images}`,
    "cgroup_no_v1=all",
    "systemd.unified_cgroup_hierarchy=1",
  ];
  const log = join(directory, "log");
  const output = openSync(log, "a");
  const args = [socket, directory, guest.kernel, guest.initrd, ...parameters];
  const child = spawn(PROGRAM, args, { stdio: ["ignore", output, output] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await eventually(
    "the remote hypervisor listens",
    START_DEADLINE_MS,
    () => (readFileSync(log, "utf8").includes("listening\n") ? true : undefined),
    () => readFileSync(log, "utf8"),
  );
  process.env[SOCKET_VARIABLE] = socket;
  process.env[IMAGES_VARIABLE] = images;
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await ended;
      await registry[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A call that the service got, and what became of it: `ok`, or its refusal. */
export interface RemoteCall {
  readonly call: "CreateVM" | "StartVM" | "StopVM";
  readonly request: {
    readonly id: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly networkNamespacePath?: string;
  };
  readonly outcome: string;
}

/** The calls about sandbox `id` so far. */
export function remoteCalls(id: string): RemoteCall[] {
  const lines = readFileSync(join(dirname(remoteHypervisorSocket()), "calls"), "utf8")
    .trim()
    .split("\n");
  return lines.map((line): RemoteCall => JSON.parse(line)).filter(({ request }) => request.id === id);
}

/** The process of the service. */
export function remoteHypervisorProcess(): ProcessEntry {
  const socket = remoteHypervisorSocket();
  const found = listProcesses().find(({ argv }) => argv[0] === PROGRAM && argv[1] === socket);
  if (found === undefined) throw new Error("the remote hypervisor does not run");
  return found;
}
