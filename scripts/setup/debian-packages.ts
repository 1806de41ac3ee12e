/** The Debian packages that building, running and testing the project need, in one place. */

export interface DebianPackage {
  readonly name: string;
  readonly why: string;
}

export const DEBIAN_PACKAGES: readonly DebianPackage[] = [
  { name: "gcc", why: "compiles the engine host" },
  { name: "musl-tools", why: "links it statically" },
  { name: "dpkg-dev", why: "unpacks the engine's source package" },
  { name: "ca-certificates", why: "lets apt fetch over https" },
  { name: "containerd", why: "runs containers; our shim is its guest" },
  { name: "runc", why: "is the reference for trusted containers" },
  {
    name: process.arch === "arm64" ? "qemu-system-arm" : "qemu-system-x86",
    why: "runs the virtual machines, and brings virtiofsd",
  },
  { name: "iproute2", why: "makes network namespaces for tests, and shows what is left in them" },
  { name: "iptables", why: "gives pods of tests the host's ports" },
  { name: "bsdutils", why: "gives tests a terminal (script)" },
  { name: "dbus-daemon", why: "is the bus of tests that speak to systemd" },
  { name: "systemd", why: "checks our units in tests, and starts a service by its socket" },
  { name: "busybox-static", why: "is the small test image" },
  { name: "cryptsetup-bin", why: "checks our trees of hashes in tests (veritysetup)" },
  { name: "erofs-utils", why: "checks our EROFS images in tests (fsck.erofs)" },
  { name: "libcap2-bin", why: "gives programs of tests capabilities" },
  { name: "e2fsprogs", why: "makes file systems for disks" },
  { name: "openssl", why: "makes certificates for tests" },
  { name: "mmdebstrap", why: "makes the Debian image from packages" },
];
