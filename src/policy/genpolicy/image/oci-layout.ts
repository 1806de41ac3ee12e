/** Images in a directory. Source: OCI image-spec, image-layout.md. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { KataError } from "../../../kata-error.ts";
import { Node } from "../json.ts";
import { checkDigest, MAX_DOCUMENT_BYTES, MAX_LAYER_BYTES } from "./blob-digest.ts";
import {
  type Descriptor,
  type FoundImage,
  type ImageSource,
  parseDescriptor,
  parseManifest,
} from "./image.ts";
import { type ImageReference, parseReference } from "./reference.ts";
import { entryForGuest, isIndex, MAX_INDEX_DEPTH } from "./select-manifest.ts";

/** Annotations in which tools put an image's name. */
const NAME_ANNOTATIONS = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

export class OciLayout implements ImageSource {
  readonly name: string;
  readonly isRemote = false;
  private readonly directory: string;
  private readonly index: Node;

  private constructor(directory: string, index: Node) {
    this.name = directory;
    this.directory = directory;
    this.index = index;
  }

  /** @throws KataError `invalid-layout` if `directory` is none. */
  static async open(directory: string): Promise<OciLayout> {
    const path = join(directory, "index.json");
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      const hint = "an OCI layout has a file index.json; skopeo copy … oci:DIR:NAME makes one";
      throw new KataError("invalid-layout", {
        operation: "open image layout",
        object: path,
        cause: error,
        hint,
      });
    }
    return new OciLayout(directory, new Node(JSON.parse(text), path));
  }

  /**
   * The image whose name in the index is `reference`'s. A layout is the user's own word for what an image is, so a digest
   * in `reference` decides between entries but a stand-in with another one is taken all the same.
   */
  async find(reference: ImageReference): Promise<FoundImage | undefined> {
    const entries = this.index.at("manifests").items();
    const entry =
      entries.find((candidate) => candidate.at("digest").text() === reference.digest) ??
      entries.find((candidate) => namesOf(candidate).some((name) => isSameImage(name, reference)));
    if (entry === undefined) return undefined;
    const descriptor = await this.resolve(parseDescriptor(entry), 0);
    const manifest = parseManifest(await this.document(descriptor), descriptor.digest);
    const config = await this.document(manifest.config);
    return { manifest, config, blob: (blob) => this.read(blob, MAX_LAYER_BYTES) };
  }

  private async resolve(descriptor: Descriptor, depth: number): Promise<Descriptor> {
    const document = new Node(JSON.parse(await this.document(descriptor)), descriptor.digest);
    if (!isIndex(document)) return descriptor;
    const entry = depth < MAX_INDEX_DEPTH ? entryForGuest(document) : undefined;
    if (entry === undefined) {
      const hint = "the index has no image for the guest's architecture";
      throw new KataError("invalid-layout", { operation: "find image", object: descriptor.digest, hint });
    }
    return this.resolve(entry, depth + 1);
  }

  private async document(descriptor: Descriptor): Promise<string> {
    return new TextDecoder().decode(await this.read(descriptor, MAX_DOCUMENT_BYTES));
  }

  private async read({ digest }: Descriptor, limit: number): Promise<Uint8Array> {
    const [algorithm = "", hex = ""] = digest.split(":");
    if (!/^[a-z0-9]+$/.test(algorithm) || !/^[0-9a-f]+$/.test(hex)) {
      throw new KataError("invalid-digest", { operation: "read blob", object: digest });
    }
    const path = join(this.directory, "blobs", algorithm, hex);
    const { size } = await stat(path);
    if (size > limit) {
      throw new KataError("too-large", {
        operation: "read blob",
        object: path,
        hint: `at most ${limit} bytes`,
      });
    }
    const bytes = await readFile(path);
    checkDigest(bytes, digest, this.directory);
    return bytes;
  }
}

function namesOf(entry: Node): ImageReference[] {
  return NAME_ANNOTATIONS.flatMap((annotation) => {
    const text = entry.at("annotations", annotation).text();
    if (text === undefined) return [];
    try {
      return [parseReference(text)];
    } catch (error) {
      // A bare tag such as "3.6" may be no name; it names no image here.
      if (error instanceof KataError) return [];
      throw error;
    }
  });
}

/** True if both are of one repository and do not differ in a tag that both have. */
function isSameImage(a: ImageReference, b: ImageReference): boolean {
  if (a.registry !== b.registry || a.repository !== b.repository) return false;
  if (a.digest !== undefined && a.digest === b.digest) return true;
  return a.tag === undefined || b.tag === undefined || a.tag === b.tag;
}
