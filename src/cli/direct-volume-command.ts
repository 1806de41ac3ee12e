/** `kata-runtime direct-volume`: how it is called. */
import { type Command, EXIT_USAGE, type Flag } from "./types.ts";

const WITHIN = "direct-volume";
const PATH: Flag = { names: ["--volume-path"], value: "PATH", doc: "the volume's path on the host" };
const MOUNT_INFO: Flag = {
  names: ["--mount-info"],
  value: "JSON",
  doc: "what the volume is: volume-type, device, fstype, metadata, options",
};
const SIZE: Flag = { names: ["--size"], value: "BYTES", doc: "the file system's new size" };
const EXAMPLE_PATH = "/var/lib/kubelet/pods/UID/volumes/kubernetes.io~csi/pvc-1/mount";

const ADD: Command = {
  name: "add",
  within: WITHIN,
  aliases: [],
  summary: "leave a volume's disk to the runtime",
  description: `Writes down that the volume at PATH is a disk, which a pod's machine mounts instead of the host. Storage plugins run this when they
publish a volume to a pod.`,
  flags: [PATH, MOUNT_INFO],
  operands: { shown: "[PATH JSON]", min: 0, max: 2 },
  examples: [
    [
      `direct-volume add --volume-path ${EXAMPLE_PATH} --mount-info '{"volume-type":"block","device":"/dev/sdb","fstype":"ext4","options":["rw"]}'`,
      "a disk with an ext4",
    ],
  ],
  run: async (context) => (await import("./direct-volume/run-direct-volume.ts")).runAdd(context),
};

const REMOVE: Command = {
  name: "remove",
  within: WITHIN,
  aliases: ["delete"],
  summary: "forget a volume",
  description: "Takes back what `direct-volume add` wrote down. Pods that use the volume go on.",
  flags: [PATH],
  operands: { shown: "[PATH]", min: 0, max: 1 },
  examples: [[`direct-volume remove --volume-path ${EXAMPLE_PATH}`, "when it is unpublished"]],
  run: async (context) => (await import("./direct-volume/run-direct-volume.ts")).runRemove(context),
};

const STATS: Command = {
  name: "stats",
  within: WITHIN,
  aliases: [],
  summary: "tell how full a volume is",
  description:
    "Asks the pod that uses the volume for bytes and inodes: used, available and in total. The answer is JSON.",
  flags: [PATH, { names: ["--json"], doc: "as always" }],
  operands: { shown: "[PATH]", min: 0, max: 1 },
  examples: [[`direct-volume stats --volume-path ${EXAMPLE_PATH}`, "of a running pod"]],
  run: async (context) => (await import("./direct-volume/run-direct-volume.ts")).runStats(context),
};

const RESIZE: Command = {
  name: "resize",
  within: WITHIN,
  aliases: [],
  summary: "let a volume's file system grow",
  description:
    "Lets the file system have BYTES of its disk, while it is in use. The disk itself has to be made larger before.",
  flags: [PATH, SIZE],
  operands: { shown: "[PATH BYTES]", min: 0, max: 2 },
  examples: [[`direct-volume resize --volume-path ${EXAMPLE_PATH} --size 10737418240`, "to 10 GiB"]],
  run: async (context) => (await import("./direct-volume/run-direct-volume.ts")).runResize(context),
};

const COMMANDS: readonly Command[] = [ADD, REMOVE, STATS, RESIZE];

export const DIRECT_VOLUME_COMMAND: Command = {
  name: WITHIN,
  aliases: [],
  summary: "volumes that are disks of a pod's machine",
  description:
    "What a storage plugin of Kubernetes runs to leave a disk to the runtime instead of mounting it on the host.",
  flags: [],
  subcommands: COMMANDS,
  examples: COMMANDS.flatMap(({ examples }) => examples.slice(0, 1)),
  // Without the name of one of its commands it is the help.
  run: async () => EXIT_USAGE,
};
