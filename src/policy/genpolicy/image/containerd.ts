/**
 * Images in containerd's store; one that is not there yet is pulled by containerd's CRI plug-in.
 *
 * Source: containerd API, images.v1.Images.Get and content.v1.Content.Read; Kubernetes CRI, runtime.v1.ImageService.PullImage.
 */
import { KataError } from "../../../kata-error.ts";
import { Node } from "../json.ts";
import { checkDigest } from "./blob-digest.ts";
import { decodeFields, encodeFields, GrpcClient } from "./grpc-client.ts";
import { type Descriptor, type FoundImage, type ImageSource, parseManifest } from "./image.ts";
import { type ImageReference, normalizedName } from "./reference.ts";
import { entryForGuest, isIndex, MAX_INDEX_DEPTH } from "./select-manifest.ts";

/** Where containerd keeps what Kubernetes uses. */
const NAMESPACE = { "containerd-namespace": "k8s.io" };
const CALL_DEADLINE_MS = 30_000;
const PULL_DEADLINE_MS = 600_000;

export class Containerd implements ImageSource {
  readonly name: string;
  readonly isRemote = true;
  private readonly client: GrpcClient;

  constructor(socket: string) {
    this.name = socket;
    this.client = new GrpcClient(socket);
  }

  async find(reference: ImageReference): Promise<FoundImage | undefined> {
    const name = normalizedName(reference);
    let target = await this.target(name);
    if (target === undefined) {
      await this.pull(name);
      target = await this.target(name);
    }
    if (target === undefined) return undefined;
    const manifest = parseManifest(await this.manifest(target, 0), name);
    const config = new TextDecoder().decode(await this.read(manifest.config.digest));
    return { manifest, config, blob: (descriptor: Descriptor) => this.read(descriptor.digest) };
  }

  close(): void {
    this.client.close();
  }

  /** The digest of what a name stands for. */
  private async target(name: string): Promise<string | undefined> {
    const answer = await this.client.call(
      "/containerd.services.images.v1.Images/Get",
      encodeFields({ 1: name }),
      NAMESPACE,
      CALL_DEADLINE_MS,
    );
    const [message] = answer ?? [];
    if (message === undefined) return undefined;
    const image = decodeFields(decodeFields(message).get(1) ?? new Uint8Array());
    const descriptor = decodeFields(image.get(3) ?? new Uint8Array());
    return new TextDecoder().decode(descriptor.get(2));
  }

  private async pull(name: string): Promise<void> {
    const spec = encodeFields({ 1: name });
    await this.client.call(
      "/runtime.v1.ImageService/PullImage",
      encodeFields({ 1: spec }),
      {},
      PULL_DEADLINE_MS,
    );
  }

  private async manifest(digest: string, depth: number): Promise<string> {
    const text = new TextDecoder().decode(await this.read(digest));
    const document = new Node(JSON.parse(text), digest);
    if (!isIndex(document)) return text;
    const entry = depth < MAX_INDEX_DEPTH ? entryForGuest(document) : undefined;
    if (entry === undefined) throw this.missing(digest, "it has no image for the guest's architecture");
    return this.manifest(entry.digest, depth + 1);
  }

  private async read(digest: string): Promise<Uint8Array> {
    const answer = await this.client.call(
      "/containerd.services.content.v1.Content/Read",
      encodeFields({ 1: digest }),
      NAMESPACE,
      PULL_DEADLINE_MS,
    );
    if (answer === undefined)
      throw this.missing(digest, "containerd has thrown its content away after unpacking");
    const bytes = Buffer.concat(answer.map((message) => decodeFields(message).get(2) ?? new Uint8Array()));
    checkDigest(bytes, digest, this.name);
    return bytes;
  }

  private missing(digest: string, hint: string): KataError {
    return new KataError("image-not-found", { operation: "read image of containerd", object: digest, hint });
  }
}
