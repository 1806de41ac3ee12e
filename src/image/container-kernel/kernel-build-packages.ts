/** The Debian packages that compiling a kernel needs beside those of the project: `npm run image -- --kernel` says which are missing. */

export const KERNEL_BUILD_PACKAGES: readonly { readonly name: string; readonly why: string }[] = [
  { name: "gcc", why: "compiles it" },
  { name: "make", why: "drives the build" },
  { name: "flex", why: "makes the scanner of the configuration's language" },
  { name: "bison", why: "makes its parser" },
  { name: "bc", why: "computes the kernel's time constants" },
  { name: "libelf-dev", why: "lets objtool read and change object files" },
  { name: "libssl-dev", why: "is needed by the kernel's programs for keys" },
  { name: "lz4", why: "packs the kernel" },
  { name: "xz-utils", why: "unpacks the source" },
];
