/**
 * A root filesystem whose image the guest pulls by itself: the host only names it, and neither sees nor chooses what is in it.
 * Source: upstream Kata Containers, KataVirtualVolume `image_guest_pull`, and its agent's storage driver of this name.
 */
import { KataError } from "../../kata-error.ts";
import { containerKind } from "../bundle-annotations.ts";
import type { ContainerRequest } from "../types.ts";
import type { GuestStorage } from "./guest-messages.ts";

const DRIVER = "image_guest_pull";
/** Annotations with the name of a container's image: containerd's, and CRI-O's. */
const IMAGE_NAMES = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"];
/** What the image of a pod's first container is called: it is in the guest. */
const PAUSE = "pause";

/** Where the guest has it; upstream's place, which policies name. */
function rootOf(id: string): string {
  return `/run/kata-containers/${id}/rootfs`;
}

/**
 * The storage that has the guest pull the image of `request`, to be the root at its mount point.
 *
 * @param named the image's name by a description of the root filesystem; empty for none.
 * @throws KataError `unsupported` if nothing names the image.
 */
export function pulledRootfs({ id, spec }: ContainerRequest, named: string): GuestStorage {
  const annotations = spec.annotations ?? {};
  const annotated = IMAGE_NAMES.map((name) => annotations[name] ?? "").find((value) => value !== "");
  const image = containerKind(spec) === "pod_sandbox" ? PAUSE : (annotated ?? named);
  if (image === "") {
    throw new KataError("unsupported", {
      operation: "let the guest pull the image",
      object: `container ${id}`,
      hint: `nothing names its image; a container manager says it in the annotation ${IMAGE_NAMES[0]}`,
    });
  }
  return {
    driver: DRIVER,
    driverOptions: [`${DRIVER}=${JSON.stringify({ metadata: annotations })}`],
    source: image,
    fstype: "overlay",
    options: [],
    mountPoint: rootOf(id),
  };
}
