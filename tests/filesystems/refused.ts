/** Checks that a way cannot pass, with the reason. Whoever needs one of them has to choose another way. */
import type { Refusals } from "./judge.ts";

const NO_ATTRIBUTES =
  "virtiofsd keeps no extended attributes unless virtio_fs_extra_args has -o xattr: a guest could set security.* of host files";

const MEMORY: Refusals = {
  xattr: "tmpfs of Linux before 6.6 has no user.* attributes",
  "o-direct": "tmpfs of Linux before 6.6 has nothing to write to directly",
};

export const REFUSED: Readonly<Record<string, Refusals>> = {
  shared: { xattr: NO_ATTRIBUTES },
  root: { xattr: NO_ATTRIBUTES },
  memory: MEMORY,
  // What a container writes over its layers is in a tmpfs.
  layers: MEMORY,
};
