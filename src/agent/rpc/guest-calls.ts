/** The calls about the machine. */
import { KataError } from "../../kata-error.ts";
import { setDateTime } from "../guest/date-time.ts";
import {
  memoryBlockSize,
  onlineCpus,
  onlineMemory,
  probeMemory,
  supportsMemoryProbe,
} from "../guest/online.ts";
import { reseedRandomness } from "../guest/randomness.ts";
import { addSwapAtNode, addSwapAtPciPath } from "../guest/swap.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { STORAGE_DRIVERS } from "../storage/drivers.ts";
import { AGENT_VERSION } from "../version.ts";
import type { AgentServiceHandlers } from "./generated.ts";

type GuestCalls = Pick<
  AgentServiceHandlers,
  | "onlineCPUMem"
  | "reseedRandomDev"
  | "getGuestDetails"
  | "memHotplugByProbe"
  | "setGuestDateTime"
  | "getIPTables"
  | "setIPTables"
  | "addSwap"
  | "addSwapPath"
>;

/** Randomness of one request, bytes: more than the kernel's whole state. */
const MAX_SEED_BYTES = 4096;

/** What this agent has beyond upstream's protocol: a host looks here before it relies on it. */
const EXTRA_FEATURES = ["agent-policy", "machine-identity"];

export function guestCalls(sandbox: Sandbox): GuestCalls {
  return {
    async onlineCPUMem(request) {
      sandbox.requireGuest("set CPUs and memory online");
      await onlineCpus(request.nbCpus, request.wait);
      for (const { cgroup } of sandbox.containers) cgroup.followCpus();
      if (!request.cpuOnly) onlineMemory();
      return {};
    },

    async reseedRandomDev(request) {
      if (request.data.length === 0 || request.data.length > MAX_SEED_BYTES) {
        throw new KataError("invalid-argument", {
          operation: "reseed",
          object: `${request.data.length} bytes`,
          hint: `a seed has 1 to ${MAX_SEED_BYTES} bytes`,
        });
      }
      reseedRandomness(request.data);
      return {};
    },

    async getGuestDetails(request) {
      return {
        memBlockSizeBytes: BigInt(request.memBlockSize ? memoryBlockSize() : 0),
        supportMemHotplugProbe: request.memHotplugProbe && supportsMemoryProbe(),
        agentDetails: {
          version: AGENT_VERSION,
          initDaemon: sandbox.context.isGuest,
          deviceHandlers: [],
          storageHandlers: Object.keys(STORAGE_DRIVERS),
          supportsSeccomp: true,
          extraFeatures: [...EXTRA_FEATURES],
        },
      };
    },

    async memHotplugByProbe(request) {
      sandbox.requireGuest("announce memory");
      probeMemory(request.memHotplugProbeAddr);
      return {};
    },

    async getIPTables(request) {
      sandbox.requireGuest("get iptables");
      const { saveRules } = await import("../guest/iptables.ts");
      return { data: await saveRules(request.isIpv6 ? "ipv6" : "ipv4", sandbox.context.reaper) };
    },

    async setIPTables(request) {
      sandbox.requireGuest("set iptables");
      const family = request.isIpv6 ? "ipv6" : "ipv4";
      const { restoreRules } = await import("../guest/iptables.ts");
      return { data: await restoreRules(family, request.data, sandbox.context.reaper) };
    },

    async addSwap(request) {
      sandbox.requireGuest("add swap");
      await addSwapAtPciPath(request.PCIPath, sandbox.context.settings.hotplugTimeoutMs);
      return {};
    },

    async addSwapPath(request) {
      sandbox.requireGuest("add swap");
      await addSwapAtNode(request.path, sandbox.context.settings.hotplugTimeoutMs);
      return {};
    },

    async setGuestDateTime(request) {
      sandbox.requireGuest("set date and time");
      setDateTime(BigInt(request.Sec), BigInt(request.Usec));
      return {};
    },
  };
}
