/** What is in a network namespace, as far as a guest has to know of it. */
import type * as addresses from "../../sys/netlink/addresses.ts";
import type * as links from "../../sys/netlink/links.ts";
import type * as neighbours from "../../sys/netlink/neighbours.ts";
import type * as routes from "../../sys/netlink/routes.ts";

export type Link = links.Link;
export type Address = Omit<addresses.Address, "scope">;
export type Route = routes.Route;
export type Neighbour = neighbours.Neighbour;

export interface NamespaceContents {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
}
