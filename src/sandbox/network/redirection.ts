/** Sending every packet that comes in on one link out on another. */
import { hasErrno, KataError } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import type { Link } from "../../sys/netlink/links.ts";
import { addIngress, redirectIngress } from "../../sys/netlink/traffic-control.ts";
import type { NetworkChanges } from "./network-changes.ts";

/** The kernel takes an old discipline apart in the background; until then a new one is refused. */
const BUSY_TRIES = 20;
const BUSY_INTERVAL_MS = 10;

/** The end of a redirection. */
export type LinkName = Pick<Link, "index" | "name">;

/** @throws KataError `busy` if somebody else takes the link's packets already; it is left as it was. */
export async function redirect(changes: NetworkChanges, from: LinkName, to: LinkName): Promise<void> {
  const { netlink, path } = changes.namespace;
  await changes.make({ kind: "ingress", link: from.index }, async () => {
    for (let tries = 1; ; tries++) {
      try {
        addIngress(netlink, from.index, from.name);
        return;
      } catch (error) {
        if (hasErrno(error, "EEXIST")) {
          throw new KataError("busy", {
            operation: "redirect packets of",
            object: `${from.name} in ${path}`,
            errno: error.errno,
            hint: "another program's ingress or clsact discipline is on it, see tc qdisc show",
            cause: error,
          });
        }
        if (!hasErrno(error, "EBUSY", "EAGAIN") || tries >= BUSY_TRIES) throw error;
      }
      await sleep(loop, BUSY_INTERVAL_MS);
    }
  });
  redirectIngress(netlink, from.index, to.index, from.name);
}
