/** What is in a network namespace, as far as a guest has to know of it. */

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `veth`, `macvlan`, …; empty for a device without a kind. */
  readonly kind: string;
  readonly loopback: boolean;
  readonly up: boolean;
  /** `02:00:00:00:00:01` */
  readonly macAddress: string;
  /** Bytes. */
  readonly mtu: number;
}

export interface Address {
  readonly linkIndex: number;
  readonly address: string;
  readonly prefixLength: number;
}

export interface Route {
  readonly family: 4 | 6;
  /** `10.0.0.0/8`; empty for the default route. */
  readonly destination: string;
  readonly gateway: string;
  readonly preferredSource: string;
  readonly linkIndex: number;
  /** Numbers of rtnetlink(7). */
  readonly table: number;
  readonly type: number;
  readonly protocol: number;
  readonly scope: number;
  readonly flags: number;
}

export interface Neighbour {
  readonly linkIndex: number;
  readonly address: string;
  /** Empty if it is not known. */
  readonly macAddress: string;
  /** `NUD_*` */
  readonly state: number;
  /** `NTF_*` */
  readonly flags: number;
}

export interface NamespaceContents {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
}
