/** What layers are called together with those below them. */
import { sha256, toHex } from "../../crypto/sha256.ts";
import { utf8Encode } from "../../sys/utf8.ts";

/** The chain id, `sha256:…`, of a layer on the layers of `parent`. Source: OCI image-spec, config.md, "Layer ChainID". */
export function chainIdOf(parent: string | undefined, diffId: string): string {
  return parent === undefined ? diffId : `sha256:${digestOf(`${parent} ${diffId}`)}`;
}

/** The chain ids of an image's layers, lowest first. */
export function chainIds(diffIds: readonly string[]): string[] {
  const chains: string[] = [];
  for (const diffId of diffIds) chains.push(chainIdOf(chains.at(-1), diffId));
  return chains;
}

/**
 * The name of a layer's disk, which is also that of its mount point in the guest: the digest of the chain id's text.
 *
 * Source: tardev-snapshotter and genpolicy in Microsoft's fork of Kata Containers, 3.2.0.azl5, facts only.
 */
export function layerId(chainId: string): string {
  return digestOf(chainId);
}

function digestOf(text: string): string {
  return toHex(sha256(utf8Encode(text)));
}
