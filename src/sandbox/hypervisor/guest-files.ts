/** The files that a guest boots from: there, of the right kind, and small enough. */
import { hasErrno, KataError } from "../../kata-error.ts";
import { O_RDONLY, open, read, S_IFMT, S_IFREG, stat } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { initialArchive } from "./guest-root.ts";
import type { MachineSpec } from "./types.ts";
import { accessLetters, EXECUTE, obstacleTo, READ } from "./user-access.ts";

/**
 * Looks at what a machine boots before its monitor does.
 *
 * @param section of the configuration, for the hint: `[hypervisor.qemu]`.
 * @throws KataError `invalid-configuration` that names the key to set.
 */
export function checkGuestFiles(spec: MachineSpec, section: string): void {
  for (const { name, path } of spec.extensions ?? [])
    requireFile(`guest_extension_images (${name})`, path, section);
  const asset = spec.root.kind;
  if (spec.confidential?.kind === "secure-execution") {
    requireFile("kernel", spec.kernel, section);
    return;
  }
  if (spec.confidential?.kind === "sev-snp" && spec.confidential.igvm !== "") {
    requireFile("igvm", spec.confidential.igvm, section);
    if (asset === "image") requireFile(asset, spec.root.path, section);
    return;
  }
  requireFile("kernel", spec.kernel, section);
  requireFile(asset, spec.root.path, section);
  requireKernel(spec.kernel, section);
  if (spec.firmware !== "") requireFile("firmware", spec.firmware, section);
  const archive = initialArchive(spec.root);
  if (archive === undefined) return;
  requireFile("initrd", archive, section);
  const bytes = stat(archive).size;
  if (bytes > spec.memoryMib * (1 << 20)) {
    throw new KataError("invalid-configuration", {
      operation: "load guest initrd",
      object: `${archive} of ${bytes} bytes`,
      hint: `it does not fit into ${spec.memoryMib} MiB of guest memory, raise default_memory in configuration.toml`,
    });
  }
}

/**
 * Of what a monitor opens that is not root.
 *
 * @throws KataError `invalid-configuration` for a program that its user cannot start, or a file that it cannot read.
 */
export function checkReadable(spec: MachineSpec, section: string): void {
  const { user } = spec;
  if (user === undefined) return;
  const files = [
    { key: "path", path: spec.program, wanted: EXECUTE },
    { key: "kernel", path: spec.kernel, wanted: READ },
    { key: spec.root.kind, path: spec.root.path, wanted: READ },
    { key: "initrd", path: initialArchive(spec.root) ?? "", wanted: READ },
    { key: "firmware", path: spec.firmware, wanted: READ },
    { key: "igvm", path: spec.confidential?.kind === "sev-snp" ? spec.confidential.igvm : "", wanted: READ },
    ...(spec.extensions ?? []).map(({ path }) => ({ key: "guest_extension_images", path, wanted: READ })),
  ];
  for (const { key, path, wanted } of files) {
    const obstacle = path === "" ? undefined : obstacleTo(path, user, wanted);
    if (obstacle === undefined) continue;
    const chmod = `chmod o+${accessLetters(obstacle.wanted)} ${obstacle.path}`;
    throw new KataError("invalid-configuration", {
      operation: "run the monitor as a user of its own",
      object: `${obstacle.path} is kept from user ${user.uid}`,
      hint: `${chmod}, for ${key} of ${section}, or set rootless to false`,
    });
  }
}

function requireFile(key: string, path: string, section: string): void {
  const build =
    key === "firmware" || key.startsWith("guest_extension_images") ? "" : ", or build one with npm run image";
  const hint = `set ${key} of ${section} in configuration.toml to the guest's ${key}${build}`;
  try {
    const status = stat(path);
    if ((status.mode & S_IFMT) === S_IFREG && status.size > 0) return;
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) throw error;
    const details = { operation: `find guest ${key}`, object: path, errno: error.errno, hint, cause: error };
    throw new KataError("invalid-configuration", details);
  }
  throw new KataError("invalid-configuration", {
    operation: `load guest ${key}`,
    object: `${path} is empty or no file`,
    hint,
  });
}

/** A monitor takes any file as a kernel and waits for ever: look for the mark of a kernel first. */
function requireKernel(path: string, section: string): void {
  using file = open(path, O_RDONLY);
  const head = new Uint8Array(1024);
  const text = utf8Decode(head.subarray(0, read(file.fd, head)));
  const isElf = text.startsWith("\x7fELF");
  // Source: Linux Documentation/arch/x86/boot.rst (offset 0x202) and arm64/booting.rst (offset 56).
  const isBoot = [0x202, 56].some((at) => ["HdrS", "ARMd"].includes(ascii(head, at)));
  if (isElf || isBoot) return;
  throw new KataError("invalid-configuration", {
    operation: "load guest kernel",
    object: `${path} is no Linux kernel`,
    hint: `set kernel of ${section} in configuration.toml to a bzImage, vmlinux or Image file`,
  });
}

function ascii(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}
