/** The disk of a storage, by whatever the host calls it. */
import { namedBlockNode, virtioBlockNode } from "../device/block-device.ts";

/** The node of the virtio disk that is called by its node (`/dev/vda`) or by its PCI path (`02/00`), when it has come. */
export function findDisk(source: string, timeoutMs: number, bytes?: bigint): Promise<string> {
  return source.startsWith("/dev/")
    ? namedBlockNode(source, timeoutMs, bytes)
    : virtioBlockNode(source, timeoutMs);
}
