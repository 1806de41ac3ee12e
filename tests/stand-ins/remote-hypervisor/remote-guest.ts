/**
 * A guest "somewhere else": a virtual machine with a network card of its own, as a cloud gives one, and a second one to which the pod's
 * network is led. Before the runtime hears of it, its network is set up, as what runs beside the agent in such machines does.
 */
import type { CreateVMRequest } from "../../../build/generated/remote.ts";
import { connectAgent } from "../../../src/sandbox/agent-connection.ts";
import { kernelCommandLine } from "../../../src/sandbox/hypervisor/kernel-parameters.ts";
import type { GuestInterface, GuestRoute } from "../../../src/sandbox/network/guest-network.ts";
import { tellNetwork } from "../../../src/sandbox/network/live-guest.ts";
import {
  joinNetwork,
  NO_NETWORK,
  type SandboxNetwork,
} from "../../../src/sandbox/network/sandbox-network.ts";
import { connectHybridVsock } from "../../../src/sandbox/transport/hybrid-vsock.ts";
import type { ByteStream } from "../../../src/sys/byte-stream.ts";
import { CancelSource } from "../../../src/sys/cancellation.ts";
import type { FileDescriptor } from "../../../src/sys/descriptor.ts";
import { unlinkIfExists } from "../../../src/sys/files.ts";
import { duplicate } from "../../../src/sys/process.ts";
import { Rollback } from "../../../src/sys/rollback.ts";
import { accept, listen } from "../../../src/sys/socket.ts";
import { type BackingCard, BackingMachine } from "../backing-machine.ts";

export interface RemoteGuestOptions {
  /** For sockets. */
  readonly directory: string;
  readonly kernel: string;
  readonly initrd: string;
  /** More parameters of the kernel. */
  readonly parameters: readonly string[];
}

const MIB = 1 << 20;
const AGENT_PORT = 1024;
const BOOT_MS = 120_000;
const CALL = { timeoutMs: 60_000 };
/** The card that the machine has from its cloud. QEMU's network gives this address, and its gateway is the host. */
const OWN_CARD: GuestInterface = {
  device: "vpc0",
  name: "vpc0",
  IPAddresses: [{ family: 0, address: "10.0.2.15", mask: "24" }],
  mtu: 1500n,
  hwAddr: "02:00:00:00:02:15",
  rawFlags: 0,
};
const OWN_ROUTE: GuestRoute = {
  dest: "10.0.2.0/24",
  gateway: "",
  device: "vpc0",
  source: "10.0.2.15",
  // RT_SCOPE_LINK
  scope: 253,
  family: 0,
  flags: 0,
  mtu: 0,
  priority: 0,
};

export class RemoteGuest {
  readonly #undo: Rollback;

  private constructor(undo: Rollback) {
    this.#undo = undo;
  }

  /** @param socket where the agent is to be reached. */
  static async start(
    request: CreateVMRequest,
    socket: string,
    options: RemoteGuestOptions,
  ): Promise<RemoteGuest> {
    const undo = new Rollback();
    try {
      const network = await tunnel(request.networkNamespacePath);
      undo.add("network", () => network.disconnect());
      const vsock = `${socket}.vsock`;
      unlinkIfExists(vsock);
      const machine = await BackingMachine.start(backingSpec(request, network, vsock, options));
      undo.add("socket", () => void unlinkIfExists(vsock));
      undo.add("machine", () => machine.stop());
      network.closeDescriptors();
      await setUpNetwork(vsock, network);
      undo.add("agent's socket", bridge(socket, vsock));
      return new RemoteGuest(undo);
    } catch (error) {
      await undo.run();
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.#undo.run();
  }
}

function annotation({ annotations }: CreateVMRequest, name: string): string {
  return annotations.get(`io.katacontainers.config.hypervisor.${name}`) ?? "";
}

function backingSpec(
  request: CreateVMRequest,
  network: SandboxNetwork,
  vsock: string,
  { kernel, initrd, parameters }: RemoteGuestOptions,
) {
  const vcpus = Number(annotation(request, "default_vcpus"));
  return {
    memoryBytes: Number(annotation(request, "default_memory")) * MIB,
    hotPlugBytes: 0,
    vcpus,
    maxVcpus: vcpus,
    kernel,
    initrd,
    commandLine: kernelCommandLine({
      accelerator: "tcg",
      machineType: "pc",
      root: { kind: "initrd", path: initrd },
      console: "ttyS0",
      debug: false,
      maxVcpus: vcpus,
      memoryGrows: false,
      additional: parameters.join(" "),
    }),
    disks: [],
    cards: network.devices.map(card),
    userNetworkMac: OWN_CARD.hwAddr,
    shares: [],
    vsock,
  };
}

function card(device: SandboxNetwork["devices"][number]): BackingCard {
  if (device.backend.kind !== "tap") throw new Error(`a card of kind ${device.backend.kind}`);
  const [queue] = device.backend.queues;
  if (queue === undefined) throw new Error("a card without a queue");
  const tap: FileDescriptor = duplicate(queue.tap);
  return { id: device.id, mac: device.macAddress, tap };
}

/** Leads the network of the pod's namespace here, which a real service does through a tunnel. */
async function tunnel(path: string): Promise<SandboxNetwork> {
  if (path === "") return NO_NETWORK;
  return await joinNetwork(
    { kind: "namespace", path },
    {
      model: "tcfilter",
      queues: 1,
      vhost: false,
      limits: { received: 0, sent: 0 },
      passCards: false,
      record: { add: () => undefined, remove: () => undefined },
    },
  );
}

async function setUpNetwork(vsock: string, { guest }: SandboxNetwork): Promise<void> {
  const agent = await connectAgent({ kind: "hybrid-vsock", path: vsock, port: AGENT_PORT }, BOOT_MS);
  try {
    const network = {
      ...guest,
      interfaces: [OWN_CARD, ...guest.interfaces],
      routes: [OWN_ROUTE, ...guest.routes],
    };
    await tellNetwork(agent.calls, network, CALL);
  } finally {
    agent.close();
  }
}

/** Leads connections at `socket` to the agent. @returns how to end it. */
function bridge(socket: string, vsock: string): () => void {
  unlinkIfExists(socket);
  const listener = listen({ kind: "unix", path: socket });
  const over = new CancelSource();
  const open = new Set<ByteStream>();
  const lead = async (client: ByteStream) => {
    open.add(client);
    const agent = await connectHybridVsock(vsock, AGENT_PORT, over.signal);
    open.add(agent);
    await Promise.race([copy(client, agent), copy(agent, client)]).catch(() => undefined);
    agent.close();
    client.close();
    open.delete(agent);
    open.delete(client);
  };
  const serve = async () => {
    for (;;) lead(await accept(listener, over.signal)).catch(() => undefined);
  };
  serve().catch(() => undefined);
  return () => {
    over.cancel();
    listener.close();
    for (const stream of open) stream.close();
    unlinkIfExists(socket);
  };
}

async function copy(from: ByteStream, to: ByteStream): Promise<void> {
  const chunk = new Uint8Array(64 << 10);
  for (let count = await from.read(chunk); count > 0; count = await from.read(chunk)) {
    await to.write(chunk.slice(0, count));
  }
}
