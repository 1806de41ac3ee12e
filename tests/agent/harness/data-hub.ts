/** A stand-in of the guest's confidential data hub: it opens what it sealed, and has one image. */
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import {
  getResourceService,
  imagePullService,
  sealedSecretService,
  secureMountService,
} from "../../../build/generated/confidential-data-hub.ts";
import { DATA_HUB_SOCKET } from "../../../src/agent/confidential/data-hub.ts";
import { KataError } from "../../../src/kata-error.ts";
import { serveConnection } from "../../../src/rpc/server.ts";
import { nodeByteStream, nodeClock } from "../../harness/node-byte-stream.ts";

export interface StandIn extends AsyncDisposable {
  /** Images that were asked for. */
  readonly pulled: readonly string[];
  /** What it was asked to mount, with the options by their names. */
  readonly mounted: readonly { readonly type: string; readonly options: Readonly<Record<string, string>> }[];
  /** Where the agent's file system tree is for others: it has mounts of its own. */
  root: string;
  /** Process of the agent, in whose tree things are mounted. */
  agent: number;
}

/**
 * @param secrets in the open by what they are sealed as.
 * @param image the one that it has, and its root; undefined for a hub that pulls none.
 * @param resources what its owner keeps for the guest, by their URIs.
 */
export async function startDataHub(
  secrets: Readonly<Record<string, string>>,
  image: { readonly name: string; readonly rootfs: string } | undefined,
  resources: Readonly<Record<string, string>> = {},
): Promise<StandIn> {
  const pulled: string[] = [];
  const mounted: StandIn["mounted"][number][] = [];
  const standIn: StandIn = {
    pulled,
    mounted,
    root: "/",
    agent: 0,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(DATA_HUB_SOCKET, { force: true });
    },
  };
  const secret = sealedSecretService({
    async unsealSecret(request) {
      const plaintext = secrets[Buffer.from(request.secret).toString()];
      if (plaintext !== undefined) return { plaintext: Buffer.from(plaintext) };
      throw new KataError("permission-denied", { operation: "unseal", object: "it is not for this guest" });
    },
  });
  const images = imagePullService({
    async pullImage({ imageUrl, bundlePath }) {
      pulled.push(imageUrl);
      if (imageUrl !== image?.name) {
        throw new KataError("not-found", { operation: "pull", object: imageUrl });
      }
      cpSync(image.rootfs, join(standIn.root, bundlePath, "rootfs"), { recursive: true });
      return {};
    },
  });
  const kept = getResourceService({
    async getResource({ ResourcePath }) {
      const content = resources[ResourcePath];
      if (content !== undefined) return { Resource: Buffer.from(content) };
      throw new KataError("not-found", { operation: "get resource", object: ResourcePath });
    },
  });
  const mounts = secureMountService({
    async secureMount({ volumeType, options, mountPoint }) {
      mounted.push({ type: volumeType, options: Object.fromEntries(options) });
      const tree = ["--mount", "--target", String(standIn.agent)];
      execFileSync("nsenter", [...tree, "mount", "-t", "tmpfs", "encrypted", mountPoint]);
      return {};
    },
  });
  mkdirSync(dirname(DATA_HUB_SOCKET), { recursive: true });
  rmSync(DATA_HUB_SOCKET, { force: true });
  const server = createServer((socket) => {
    void serveConnection(
      nodeByteStream(socket),
      [secret, ...(image === undefined ? [] : [images]), mounts, kept],
      { clock: nodeClock },
    );
  });
  await new Promise<void>((resolve) => server.listen(DATA_HUB_SOCKET, resolve));
  chmodSync(DATA_HUB_SOCKET, 0o600);
  return standIn;
}
