/** When a guest gets swap space; how is loaded then. */
import { describeError } from "../../kata-error.ts";
import { loop } from "../../sys/event-loop.ts";
import type { Rollback } from "../../sys/rollback.ts";
import type { AgentClient } from "../agent-client.ts";
import type { VirtualMachine } from "../hypervisor/types.ts";
import type { Logger } from "../types.ts";
import type { SwapSettings } from "./guest-swap.ts";
import type { SandboxDisks } from "./sandbox-disks.ts";

const MIB = 1 << 20;
const PERCENT = 100;

/** A pod that is to have swap space. */
export interface SwapReceiver {
  readonly id: string;
  readonly machine: Pick<VirtualMachine, "size">;
  readonly disks: Pick<SandboxDisks, "attach">;
  readonly calls: Pick<AgentClient, "addSwap" | "addSwapPath">;
  readonly logger: Logger;
}

/** Gives the guest swap space when it has lived for a while; without it, it goes on as it is. */
export function giveSwapLater(
  settings: SwapSettings,
  { id, machine, disks, calls, logger }: SwapReceiver,
  undo: Rollback,
): void {
  const { memoryMib } = machine.size;
  let isOver = false;
  const give = async (): Promise<void> => {
    try {
      const { giveSwap } = await import("./guest-swap.ts");
      const { directory, percent } = settings;
      const bytes = Math.floor((memoryMib * percent) / PERCENT) * MIB;
      await giveSwap({ name: id, directory, bytes, disks, calls });
      logger.info("the guest has swap space", { bytes });
    } catch (error) {
      if (!isOver) logger.warn("the guest gets no swap space", { error: describeError(error) });
    }
  };
  const timer = loop.after(settings.afterMs, () => void give());
  undo.add("swap space", () => {
    isOver = true;
    timer.cancel();
  });
}
