/** The root file systems of the test images, put together from files of Debian's packages and two small C programs. */
import { createHash } from "node:crypto";
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { mustRun } from "../../harness/command.ts";
import { writeBusyboxRoot } from "../../harness/images.ts";
import { builtBusybox } from "./busybox.ts";
import { groups, type RootName, siteOn, type TestImage, users } from "./image-table.ts";
import { unpackedPackages } from "./packages.ts";

/** What programs of a release link with. */
const C_LIBRARY = ["libc6"];

/** Prints what setting the user's id did for it. Critest's image of that name holds a program that prints the same. */
const NONEWPRIVS_SOURCE = `
#include <stdio.h>
#include <unistd.h>
int main(void) { return printf("Effective uid: %d\\n", geteuid()) < 0; }
`;

/** Holds namespaces open, waits for the orphans of a shared pid namespace, ends when asked. */
const PAUSE_SOURCE = `
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) {
  signal(SIGINT, end); signal(SIGTERM, end); signal(SIGCHLD, reap);
  for (;;) pause();
}
`;

const LIGHTTPD =
  'server.document-root = "/var/www/html"\nserver.port = 80\nindex-file.names = ("index.html")\n';

/** Makes `layer`, a tar file with the image's root file system. */
export async function writeLayer(suite: string, image: TestImage, layer: string): Promise<void> {
  const root = await mkdtemp(`${layer}.root-`);
  try {
    await chmod(root, 0o755);
    await ROOTS[image.root](root, suite);
    for (const [path, text] of Object.entries(image.files ?? {})) await write(join(root, path), text);
    const stable = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    await mustRun("tar", ["-C", root, ...stable, "-cf", layer, "."]);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Changes whenever what {@link writeLayer} writes may: for a cache. */
export function recipeKey(suite: string, image: TestImage): string {
  const sources = [
    ...Object.values(ROOTS).map(String),
    String(shellRoot),
    NONEWPRIVS_SOURCE,
    PAUSE_SOURCE,
    LIGHTTPD,
  ];
  return createHash("sha256")
    .update(JSON.stringify([process.arch, suite, image, sources]))
    .digest("hex")
    .slice(0, 16);
}

const ROOTS: Readonly<Record<RootName, (root: string, suite: string) => Promise<void>>> = {
  busybox: shellRoot,
  async nginx(root, suite) {
    await shellRoot(root);
    const libraries = ["libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"];
    await copyTree(
      await unpackedPackages(suite, [...C_LIBRARY, ...libraries, "nginx", "nginx-common"]),
      root,
    );
    await write(join(root, "etc/nginx/sites-enabled/default"), siteOn(80));
    await write(join(root, "var/www/html/index.html"), "<h1>Welcome to nginx!</h1>\n");
    // What the package's installation script would do.
    await rm(join(root, "etc/nginx/modules-enabled"), { recursive: true, force: true });
    for (const name of ["var/lib/nginx", "var/log/nginx"]) await mkdir(join(root, name), { recursive: true });
    await symlink("../run", join(root, "var/run"));
  },
  async lighttpd(root, suite) {
    await shellRoot(root);
    const libraries = ["libcrypt1", "libpcre2-8-0", "libnettle8", "libxxhash0"];
    await copyTree(await unpackedPackages(suite, [...C_LIBRARY, ...libraries, "lighttpd"]), root);
    await mkdir(join(root, "var/tmp"));
    await write(join(root, "etc/lighttpd/test.conf"), LIGHTTPD);
    await write(join(root, "var/www/html/index.html"), "<h1>It works!</h1>\n");
  },
  async redis(root, suite) {
    await shellRoot(root);
    const direct = ["libatomic1", "libjemalloc2", "liblzf1", "libssl3", "libsystemd0"];
    const indirect = [
      "libcap2",
      "libgcc-s1",
      "libgcrypt20",
      "libgpg-error0",
      "liblz4-1",
      "liblzma5",
      "libstdc++6",
      "libzstd1",
    ];
    const packages = [...C_LIBRARY, ...direct, ...indirect, "redis-server", "redis-tools"];
    await copyTree(await unpackedPackages(suite, packages), root);
  },
  async nonewprivs(root) {
    await compile(NONEWPRIVS_SOURCE, join(root, "nnp"));
    await chmod(join(root, "nnp"), 0o4755);
    await accounts(root);
  },
  async pause(root) {
    await compile(PAUSE_SOURCE, join(root, "pause"));
  },
};

async function shellRoot(root: string): Promise<void> {
  await writeBusyboxRoot(root, await builtBusybox());
  await accounts(root);
}

async function accounts(root: string): Promise<void> {
  await write(join(root, "etc/passwd"), users());
  await write(join(root, "etc/group"), groups());
}

/** Programs, libraries, configuration and data of unpacked packages; no documentation. */
async function copyTree(files: string, root: string): Promise<void> {
  const leftOut = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "etc/init.d"];
  await cp(files, root, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (from) => !leftOut.some((name) => from === join(files, name)),
  });
}

async function compile(source: string, program: string): Promise<void> {
  await mustRun("musl-gcc", ["-static", "-Os", "-s", "-x", "c", "-", "-o", program], { stdin: source });
}

async function write(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await chmod(path, mode);
}
