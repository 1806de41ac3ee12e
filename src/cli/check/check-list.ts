/** What `check` looks at, in its order. */

/** Name and what is asked. The monitor and the guest's root are shown under the names of those that are configured. */
export const CHECK_LIST: readonly (readonly [name: string, question: string])[] = [
  ["processor", "whether it can virtualize, and whether what virtualizes this host lets it"],
  ["accelerator", "what runs virtual CPUs: KVM (one is run), MSHV, or emulation"],
  ["TUN", "whether machines can be connected to networks"],
  ["overlayfs", "whether container images can be layered"],
  ["cgroups", "which version, and whether the controllers are there"],
  ["vsock", "how the agent in the guest is reached"],
  ["vhost-net", "who carries packets"],
  ["user", "whether this is root"],
  ["configuration", "whether it is found and right"],
  ["monitor", "whether the configured program is there, and its version"],
  ["virtiofsd", "whether the file server is there"],
  ["guest kernel", "whether it is there and a kernel"],
  ["guest root", "whether the initrd or image is there"],
  ["containerd", "whether it and the shim are there"],
];

export function checkListText(): string {
  const width = Math.max(...CHECK_LIST.map(([name]) => name.length)) + 3;
  return CHECK_LIST.map(([name, question]) => `${name.padEnd(width)}${question}\n`).join("");
}
