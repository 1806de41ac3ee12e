/**
 * The guest's confidential data hub, a program beside the agent that has the pod's secrets once the machine is attested.
 *
 * Source: the guest components' ttrpc services, `proto/confidential_data_hub.proto`; upstream's agent (socket, timeouts).
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";
import { TtrpcClient } from "../../rpc/client.ts";
import { exists } from "../../sys/files.ts";
import { connect } from "../../sys/socket.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import {
  getResourceServiceClient,
  imagePullServiceClient,
  sealedSecretServiceClient,
  secureMountServiceClient,
} from "../rpc/generated.ts";
import { SEALED } from "./sealed-files.ts";

export const DATA_HUB_SOCKET = "/run/confidential-containers/cdh.sock";

export interface DataHubTimeouts {
  /** For all but images, ms. */
  readonly callMs: number;
  readonly pullMs: number;
}

export class DataHub {
  readonly #timeouts: DataHubTimeouts;
  readonly #socket: string;

  constructor(timeouts: DataHubTimeouts, socket = DATA_HUB_SOCKET) {
    this.#timeouts = timeouts;
    this.#socket = socket;
  }

  /** Whether the guest has one. */
  get isThere(): boolean {
    return exists(this.#socket);
  }

  /** @throws KataError with the hub's own words; `unavailable` if there is none. */
  async unseal(secret: string): Promise<string> {
    return utf8Decode(await this.unsealBytes(secret));
  }

  /** As {@link unseal}, for what need be no text. */
  async unsealBytes(secret: string): Promise<Uint8Array> {
    return await this.#call("unseal secret", async (client) => {
      const request = { secret: utf8Encode(secret) };
      const options = { timeoutMs: this.#timeouts.callMs };
      return (await sealedSecretServiceClient(client).unsealSecret(request, options)).plaintext;
    });
  }

  /**
   * Has a volume mounted at `mountPoint` that nobody else can read.
   *
   * @param type what it is on: `block-device`, …
   * @param options by the hub's names.
   */
  async secureMount(type: string, options: ReadonlyMap<string, string>, mountPoint: string): Promise<void> {
    await this.#call(`mount ${type} at ${mountPoint}`, async (client) => {
      const request = { volumeType: type, options, flags: [], mountPoint };
      await secureMountServiceClient(client).secureMount(request, { timeoutMs: this.#timeouts.callMs });
    });
  }

  /** What the pod's owner keeps for this guest at `uri`, `kbs:///…`. */
  async resource(uri: string): Promise<Uint8Array> {
    return await this.#call(`get ${uri}`, async (client) => {
      const options = { timeoutMs: this.#timeouts.callMs };
      return (await getResourceServiceClient(client).getResource({ ResourcePath: uri }, options)).Resource;
    });
  }

  /** Has an image pulled and unpacked: its root file system is `rootfs` below `bundle` then. */
  async pullImage(image: string, bundle: string): Promise<void> {
    await this.#call(`pull image ${image}`, async (client) => {
      const request = { imageUrl: image, bundlePath: bundle };
      await imagePullServiceClient(client).pullImage(request, { timeoutMs: this.#timeouts.pullMs });
    });
  }

  async #call<T>(operation: string, use: (client: TtrpcClient) => Promise<T>): Promise<T> {
    let client: TtrpcClient;
    try {
      client = new TtrpcClient(await connect({ kind: "unix", path: this.#socket }));
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "ECONNREFUSED")) throw error;
      throw new KataError("unavailable", {
        operation,
        object: this.#socket,
        hint: "this guest has no confidential data hub",
        cause: error,
      });
    }
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }
}

/**
 * The specification with sealed variables in the open, if the guest has a hub. Without one they stay as they are: who sealed them
 * meant them for another guest.
 *
 * @throws KataError if the hub refuses: a container must not run without what it was promised.
 */
export async function withUnsealedEnvironment(spec: Spec, hub: DataHub): Promise<Spec> {
  const { process } = spec;
  const env = process?.env;
  if (process === undefined || env === undefined || !env.some(isSealed) || !hub.isThere) return spec;
  const open: string[] = [];
  for (const variable of env) {
    const equals = variable.indexOf("=");
    open.push(
      isSealed(variable)
        ? `${variable.slice(0, equals + 1)}${await hub.unseal(variable.slice(equals + 1))}`
        : variable,
    );
  }
  return { ...spec, process: { ...process, env: open } };
}

function isSealed(variable: string): boolean {
  const equals = variable.indexOf("=");
  return equals > 0 && variable.startsWith(SEALED, equals + 1);
}
