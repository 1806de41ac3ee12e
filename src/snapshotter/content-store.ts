/** What containerd has fetched of images: the compressed layers, by their digests. Source: containerd API, content.v1.Content. */
import {
  type ContentInfo,
  decodeListContentResponse,
  decodeReadContentResponse,
  encodeListContentRequest,
  encodeReadContentRequest,
} from "../../build/generated/content.ts";
import { KataError } from "../kata-error.ts";
import { GrpcClient } from "../policy/genpolicy/image/grpc-client.ts";

const SERVICE = "/containerd.services.content.v1.Content";
const CALL_DEADLINE_MS = 60_000;
/** Bytes that are asked for at once. */
const READ_BYTES = 4 << 20;

export interface BlobStore {
  /** What is there, the newest first. */
  list(namespace: string): Promise<readonly ContentInfo[]>;
  /** The content of `digest`, piece by piece. @throws KataError `not-found`. */
  read(namespace: string, digest: string): AsyncGenerator<Uint8Array>;
}

/** Each call has a connection of its own: containerd may have been started again. */
export class ContentStore implements BlobStore {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  async list(namespace: string): Promise<readonly ContentInfo[]> {
    const client = new GrpcClient(this.#socket);
    try {
      const answer = await client.call(
        `${SERVICE}/List`,
        encodeListContentRequest({}),
        metadata(namespace),
        CALL_DEADLINE_MS,
      );
      const infos = (answer ?? []).flatMap((message) => decodeListContentResponse(message).info);
      const seconds = ({ createdAt }: ContentInfo) => Number(createdAt?.seconds ?? 0n);
      return infos.sort((a, b) => seconds(b) - seconds(a));
    } finally {
      client.close();
    }
  }

  async *read(namespace: string, digest: string): AsyncGenerator<Uint8Array> {
    const client = new GrpcClient(this.#socket);
    try {
      for (let offset = 0; ; ) {
        const request = encodeReadContentRequest({ digest, offset, size: READ_BYTES });
        const answer = await client.call(`${SERVICE}/Read`, request, metadata(namespace), CALL_DEADLINE_MS);
        if (answer === undefined) {
          throw new KataError("not-found", {
            operation: "read layer of containerd",
            object: digest,
            hint: "containerd has thrown it away: set discard_unpacked_layers = false, and pull the image again",
          });
        }
        const before = offset;
        for (const message of answer) {
          const { data } = decodeReadContentResponse(message);
          offset += data.length;
          yield data;
        }
        if (offset - before < READ_BYTES) return;
      }
    } finally {
      client.close();
    }
  }
}

function metadata(namespace: string): Readonly<Record<string, string>> {
  return { "containerd-namespace": namespace };
}
