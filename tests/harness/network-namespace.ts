/** A named network namespace with one interface to the host, as a network plug-in prepares it for a pod. */
import { mustRun } from "./command.ts";

/** From the range for documentation: no machine's real network. Source: RFC 5737. */
const HOST_ADDRESS = "198.51.100.1";
const POD_ADDRESS = "198.51.100.2";
/** Unlike the default of 1500, so that a runtime that does not copy it is found out. */
const MTU = 1400;

let created = 0;

export class NetworkNamespace implements AsyncDisposable {
  readonly name: string;
  readonly hostAddress = HOST_ADDRESS;
  readonly address = POD_ADDRESS;
  readonly mtu = MTU;

  private constructor(name: string) {
    this.name = name;
  }

  /** The namespace as a file, for `--with-ns network:PATH`. */
  get path(): string {
    return `/run/netns/${this.name}`;
  }

  static async create(tag: string): Promise<NetworkNamespace> {
    const name = `${tag}-${process.pid % 1000}n${created++}`;
    const hostLink = `h${tag.slice(-6)}${created}`;
    await mustRun("ip", ["netns", "add", name]);
    const network = new NetworkNamespace(name);
    try {
      const pair = ["link", "add", hostLink, "mtu", `${MTU}`, "type", "veth"];
      await mustRun("ip", [...pair, "peer", "name", "eth0", "mtu", `${MTU}`, "netns", name]);
      await mustRun("ip", ["address", "add", `${HOST_ADDRESS}/24`, "dev", hostLink]);
      await mustRun("ip", ["link", "set", hostLink, "up"]);
      await mustRun("ip", ["-n", name, "address", "add", `${POD_ADDRESS}/24`, "dev", "eth0"]);
      await mustRun("ip", ["-n", name, "link", "set", "lo", "up"]);
      await mustRun("ip", ["-n", name, "link", "set", "eth0", "up"]);
      await mustRun("ip", ["-n", name, "route", "add", "default", "via", HOST_ADDRESS]);
      return network;
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Removes the namespace; its interface and the host's end of it go with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await mustRun("ip", ["netns", "delete", this.name]);
  }
}
