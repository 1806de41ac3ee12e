/**
 * Machines that outlive the pool's service: while it is restarted, its manager holds their descriptors, each by a name of its own:
 * `POOL-MACHINE.lifeline` and so on, and `POOL-MACHINE.facts`, a sealed file that says what the machine is.
 *
 * A machine's lifeline is taken back before the machine is given away. So who holds it, and with it the machine, is always one.
 */
import { describeError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { readToEnd } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { sealedMemfd } from "../../sys/memory.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import type { Logger } from "../types.ts";
import { DESCRIPTORS, isRecord, type MachineOffer, parseOffer } from "./pool-protocol.ts";
import type { NamedDescriptor, ServiceManager } from "./service-manager.ts";

/** How large a machine is. */
export interface MachineSize {
  readonly memoryMib: number;
  readonly vcpus: number;
}

/** A machine that is ready: `descriptors` in the order of {@link DESCRIPTORS}. */
export interface KeptMachine {
  readonly name: string;
  readonly offer: MachineOffer;
  readonly size: MachineSize;
  readonly descriptors: readonly FileDescriptor[];
}

const FACTS = "facts";
/** The offer is shorter than what goes over a socket. */
const MAX_FACTS_BYTES = 64 << 10;

/** Whether a descriptor of that name is a machine's; a socket has its unit's name. */
export function isKeptName(name: string): boolean {
  return [...DESCRIPTORS, FACTS].some((part) => name.startsWith("pool-") && name.endsWith(`.${part}`));
}

export async function keepMachineFor(
  manager: ServiceManager,
  name: string,
  offer: MachineOffer,
  size: MachineSize,
  descriptors: readonly number[],
): Promise<void> {
  using facts = sealedMemfd("pool machine", utf8Encode(JSON.stringify({ offer, size })));
  await manager.keep(`${name}.${FACTS}`, facts.fd);
  for (const [index, part] of DESCRIPTORS.entries()) {
    await manager.keep(`${name}.${part}`, descriptors[index] ?? -1);
  }
}

/** The lifeline first: from then on nobody but the pool holds the machine. */
export async function forgetMachine(manager: ServiceManager, name: string): Promise<void> {
  for (const part of [...DESCRIPTORS, FACTS]) await manager.forget(`${name}.${part}`);
}

/**
 * Puts machines together from what the manager had kept. What belongs to none that is whole is closed, which ends its machine.
 *
 * @returns the machines and the names of those that were not whole.
 */
export function keptMachines(
  kept: readonly NamedDescriptor[],
  logger: Logger,
): { readonly machines: readonly KeptMachine[]; readonly broken: readonly string[] } {
  const byMachine = new Map<string, Map<string, FileDescriptor>>();
  for (const { name, descriptor } of kept) {
    const dot = name.lastIndexOf(".");
    const parts = byMachine.get(name.slice(0, dot)) ?? new Map<string, FileDescriptor>();
    parts.get(name.slice(dot + 1))?.close();
    byMachine.set(name.slice(0, dot), parts.set(name.slice(dot + 1), descriptor));
  }
  const machines: KeptMachine[] = [];
  const broken: string[] = [];
  for (const [name, parts] of byMachine) {
    const machine = whole(name, parts, logger);
    parts.get(FACTS)?.close();
    if (machine !== undefined) {
      machines.push(machine);
      continue;
    }
    for (const descriptor of parts.values()) descriptor.close();
    broken.push(name);
  }
  return { machines, broken };
}

function whole(
  name: string,
  parts: ReadonlyMap<string, FileDescriptor>,
  logger: Logger,
): KeptMachine | undefined {
  const descriptors = DESCRIPTORS.flatMap((part) => parts.get(part) ?? []);
  const facts = parts.get(FACTS);
  if (facts === undefined || descriptors.length !== DESCRIPTORS.length) return undefined;
  try {
    check(kernel().syscall("lseek", facts.fd, 0, 0), "rewind", name);
    const value: unknown = JSON.parse(utf8Decode(readToEnd(facts.fd, name, MAX_FACTS_BYTES)));
    if (!isRecord(value) || !isRecord(value.size)) return undefined;
    const offer = parseOffer(value.offer);
    const { memoryMib, vcpus } = value.size;
    if (offer === undefined || typeof memoryMib !== "number" || typeof vcpus !== "number") return undefined;
    return { name, offer, size: { memoryMib, vcpus }, descriptors };
  } catch (error) {
    logger.warn("a machine that was kept is unreadable", { name, reason: describeError(error) });
    return undefined;
  }
}
