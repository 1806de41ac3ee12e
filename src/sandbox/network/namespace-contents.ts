/** What is in a network namespace, as far as a guest has to know of it. */
import type * as addresses from "../../sys/netlink/addresses.ts";
import type * as links from "../../sys/netlink/links.ts";
import type * as neighbours from "../../sys/netlink/neighbours.ts";
import type * as routes from "../../sys/netlink/routes.ts";

export type Link = Omit<links.Link, "flags">;
export type Address = Omit<addresses.Address, "scope">;
/** The agent's protocol has no priority of a route. */
export type Route = Omit<routes.Route, "priority">;
export type Neighbour = neighbours.Neighbour;

export interface NamespaceContents {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
}
