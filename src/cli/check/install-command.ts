/** The command that installs a program, where the distribution is known. */
import type { Distribution } from "../host/system-files.ts";

type Family = "debian" | "fedora" | "suse";

const FAMILIES: Readonly<Record<string, Family>> = {
  debian: "debian",
  ubuntu: "debian",
  fedora: "fedora",
  rhel: "fedora",
  centos: "fedora",
  suse: "suse",
  opensuse: "suse",
};

const INSTALLERS: Readonly<Record<Family, string>> = {
  debian: "apt-get install",
  fedora: "dnf install",
  suse: "zypper install",
};

const PACKAGES: Readonly<Record<string, Readonly<Record<Family, string>>>> = {
  "qemu-system-x86_64": { debian: "qemu-system-x86", fedora: "qemu-kvm", suse: "qemu-x86" },
  "qemu-system-aarch64": { debian: "qemu-system-arm", fedora: "qemu-kvm", suse: "qemu-arm" },
  "mkfs.ext4": { debian: "e2fsprogs", fedora: "e2fsprogs", suse: "e2fsprogs" },
  virtiofsd: { debian: "virtiofsd", fedora: "virtiofsd", suse: "virtiofsd" },
  containerd: { debian: "containerd", fedora: "containerd", suse: "containerd" },
};

/** Debian brought virtiofsd with QEMU before it became a package of its own. */
const LAST_DEBIAN_WITH_QEMUS_VIRTIOFSD = 12;

/** How to get `program`, one of those that the runtime needs. */
export function installCommand(program: string, { id, like, version }: Distribution): string {
  const family = [id, ...like].map((name) => FAMILIES[name]).find((found) => found !== undefined);
  if (family === undefined) return `install ${program} with this system's package manager`;
  const name =
    program === "virtiofsd" && id === "debian" && Number(version) <= LAST_DEBIAN_WITH_QEMUS_VIRTIOFSD
      ? "qemu-system-common"
      : PACKAGES[program]?.[family];
  return `${INSTALLERS[family]} ${name ?? program}`;
}
