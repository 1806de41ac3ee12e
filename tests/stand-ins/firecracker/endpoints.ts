/** Firecracker's endpoints: what each takes, and when. Source: as `schema.ts`; docs/device-api.md. */

/** When an endpoint may be used: before the machine starts, after that, or always. */
export type Phase = "before" | "after" | "always";

export interface EndpointRule {
  readonly method: string;
  /** `{id}` stands for the id of a drive or card, which the body has to name as well. */
  readonly path: string;
  /** Type of the body; a body is refused without one. */
  readonly type?: string;
  /** The field of the body that has to be the path's id. */
  readonly id?: string;
  readonly phase: Phase;
}

// biome-ignore format: a table
export const ENDPOINTS: readonly EndpointRule[] = [
  { method: "GET", path: "/", phase: "always" },
  { method: "GET", path: "/version", phase: "always" },
  { method: "GET", path: "/machine-config", phase: "always" },
  { method: "PUT", path: "/actions", type: "InstanceActionInfo", phase: "always" },
  { method: "PUT", path: "/logger", type: "Logger", phase: "before" },
  { method: "PUT", path: "/metrics", type: "Metrics", phase: "before" },
  { method: "PUT", path: "/machine-config", type: "MachineConfiguration", phase: "before" },
  { method: "PUT", path: "/boot-source", type: "BootSource", phase: "before" },
  { method: "PUT", path: "/drives/{id}", type: "Drive", id: "drive_id", phase: "before" },
  { method: "PATCH", path: "/drives/{id}", type: "PartialDrive", id: "drive_id", phase: "after" },
  { method: "PUT", path: "/network-interfaces/{id}", type: "NetworkInterface", id: "iface_id", phase: "before" },
  { method: "PATCH", path: "/network-interfaces/{id}", type: "PartialNetworkInterface", id: "iface_id", phase: "after" },
  { method: "PUT", path: "/vsock", type: "Vsock", phase: "before" },
  { method: "PUT", path: "/entropy", type: "EntropyDevice", phase: "before" },
  { method: "PUT", path: "/snapshot/create", type: "SnapshotCreateParams", phase: "after" },
  { method: "PUT", path: "/snapshot/load", type: "SnapshotLoadParams", phase: "before" },
  { method: "PATCH", path: "/vm", type: "Vm", phase: "after" },
];

/** The endpoint of a request, and the id in its path. */
export function findEndpoint(
  method: string,
  path: string,
): { readonly rule: EndpointRule; readonly id: string } | undefined {
  for (const rule of ENDPOINTS.filter((each) => each.method === method)) {
    const [before = "", after] = rule.path.split("{id}");
    if (after === undefined ? rule.path === path : path.startsWith(before))
      return { rule, id: path.slice(before.length) };
  }
  return undefined;
}
