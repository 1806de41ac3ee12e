/** The policies that are there before the host has its first word: the image's own, and after it the one of initdata. */
import { KataError } from "../../kata-error.ts";
import { ENOENT } from "../../sys/errno.ts";
import { exists, O_RDONLY, openat, readToEnd } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import type { Logger } from "../../sys/log.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import type { KernelModules } from "../boot/kernel-modules.ts";
import { hasVirtioDevice, VIRTIO_BLOCK } from "../virtio-devices.ts";
import { findInitdata } from "./find-initdata.ts";
import { agentExtension } from "./load-extension.ts";
import type { PolicyGate } from "./policy-gate.ts";

/** Below the guest's root. Source: upstream's agent. */
const DEFAULT_POLICY = "etc/kata-opa/default-policy.rego";
const MAX_POLICY_BYTES = 16 * 1024 * 1024;
const BLOCK_MODULE = "virtio_blk";

/**
 * @param root descriptor of the directory of the image's files.
 * @throws KataError if a policy or initdata is there and cannot be put in force: such a guest must not serve.
 */
export function closeGate(gate: PolicyGate, root: number, modules: KernelModules, logger: Logger): void {
  const own = readDefaultPolicy(root);
  if (own !== undefined) gate.set(own);
  // Its disk is there from the start of the machine; one that comes later is a volume.
  if (hasVirtioDevice(VIRTIO_BLOCK) && modules.has(BLOCK_MODULE)) modules.load(BLOCK_MODULE);
  const payload = findInitdata();
  if (payload === undefined && !isConfidential()) return;
  const taken = agentExtension().takeInitdata(payload);
  if (!taken.ok) throw new KataError(taken.code, { operation: "take over initdata", object: taken.message });
  const { policy, unchecked } = taken.value;
  if (unchecked !== undefined) logger.info(unchecked);
  if (policy !== undefined) gate.set(policy);
}

/** Whether the processor can tell what the machine was started with. */
function isConfidential(): boolean {
  return exists("/dev/sev-guest") || exists("/dev/tdx_guest");
}

function readDefaultPolicy(root: number): string | undefined {
  const found = kernel().syscall("faccessat2", root, DEFAULT_POLICY, 0, 0);
  if (found === -ENOENT) return undefined;
  check(found, "find", DEFAULT_POLICY);
  using file = openat(root, DEFAULT_POLICY, O_RDONLY);
  return utf8Decode(readToEnd(file.fd, DEFAULT_POLICY, MAX_POLICY_BYTES));
}
