/** Where the agent answers: the forms of an address and the choice when none is given. */
import { KataError } from "../kata-error.ts";
import { VMADDR_CID_ANY } from "../sys/socket.ts";

export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "vsock"; readonly cid: number; readonly port: number }
  | { readonly kind: "virtio-serial"; readonly name: string };

/** The port of the agent's protocol on vsock. */
export const AGENT_VSOCK_PORT = 1024;
/** The name of the virtio-serial port that the agent's protocol goes over where there is no vsock. */
export const AGENT_SERIAL_PORT = "org.katacontainers.agent.0";

/**
 * Reads `unix://PATH`, `vsock://CID:PORT` (a CID of −1 is any) or `virtio-serial://NAME`.
 *
 * @throws KataError `invalid-argument` for anything else.
 */
export function parseListenAddress(address: string): ListenAddress {
  const vsock = /^vsock:\/\/(-1|\d{1,10}):(\d{1,10})$/.exec(address);
  if (vsock !== null) {
    const cid = vsock[1] === "-1" ? VMADDR_CID_ANY : Number(vsock[1]);
    const port = Number(vsock[2]);
    if (cid <= 0xffff_ffff && port <= 0xffff_ffff) return { kind: "vsock", cid, port };
  }
  const unix = /^unix:\/\/(\/.+)$/.exec(address);
  if (unix?.[1] !== undefined) return { kind: "unix", path: unix[1] };
  const serial = /^virtio-serial:\/\/([\w.-]{1,127})$/.exec(address);
  if (serial?.[1] !== undefined) return { kind: "virtio-serial", name: serial[1] };
  throw new KataError("invalid-argument", {
    operation: "read server address",
    object: JSON.stringify(address),
    hint: "it is unix:///PATH, vsock://CID:PORT or virtio-serial://NAME",
  });
}
