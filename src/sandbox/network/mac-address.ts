/** Hardware addresses that nobody has. Source: IEEE 802, "universally or locally administered". */
import { formatMacAddress } from "../../sys/netlink/ip-address.ts";
import { randomBytes } from "../../sys/random.ts";

/** Locally administered, for one receiver. */
export function randomMacAddress(): string {
  const bytes = randomBytes(6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return formatMacAddress(bytes);
}
