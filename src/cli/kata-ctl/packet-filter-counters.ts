/** What a packet filter has counted. Source: iptables-save(8): `*TABLE`, `:CHAIN POLICY [packets:bytes]`. */
import { family, type Labels, type Sample } from "../../sys/metrics/prometheus-text.ts";

/** The rules of one address family in one sandbox. */
export interface FilterRules {
  readonly sandboxId: string;
  readonly family: "ipv4" | "ipv6";
  /** As iptables-save writes them. */
  readonly text: string;
}

/** Packets and bytes of each built-in chain, and how many rules each chain has, as Prometheus reads figures. */
export function packetFilterFigures(all: readonly FilterRules[]): string {
  const [packets, bytes, rules]: [Sample[], Sample[], Sample[]] = [[], [], []];
  for (const { sandboxId, family: addresses, text } of all) {
    const labels = (table: string, chain: string): Labels => ({
      sandbox_id: sandboxId,
      family: addresses,
      table,
      chain,
    });
    const counts = new Map<string, number>();
    let table = "";
    for (const line of text.split("\n")) {
      const [, opened] = /^\*(\S+)$/.exec(line) ?? [];
      if (opened !== undefined) table = opened;
      const [, chain, policy, packetCount, byteCount] = /^:(\S+) (\S+) \[(\d+):(\d+)\]$/.exec(line) ?? [];
      if (chain !== undefined) {
        counts.set(`${table} ${chain}`, 0);
        // A chain of a user's has no policy, and counts nothing.
        if (policy !== "-") {
          packets.push([labels(table, chain), Number(packetCount)]);
          bytes.push([labels(table, chain), Number(byteCount)]);
        }
      }
      const [, appended] = /^(?:\[\d+:\d+\] )?-A (\S+)/.exec(line) ?? [];
      if (appended !== undefined) {
        const key = `${table} ${appended}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    for (const [key, count] of counts) {
      const [of = "", chain = ""] = key.split(" ");
      rules.push([labels(of, chain), count]);
    }
  }
  return [
    family(
      "kata_guest_iptables_packets_total",
      "Packets that the policy of a chain decided about.",
      packets,
      "counter",
    ),
    family("kata_guest_iptables_bytes_total", "Bytes of these packets.", bytes, "counter"),
    family("kata_guest_iptables_rules", "Rules of a chain.", rules),
  ].join("");
}
