/**
 * The images that demo and tests run: a busybox of 1 MB and a Debian with Python and Redis, made from Debian's packages by
 * the machine's own apt configuration. They are made once; `build/cache/images` keeps them under a key of their recipe.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { chmod, copyFile, link, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { mustRun } from "./command.ts";
import type { Ctr } from "./ctr.ts";
import { debianArchives } from "./debian-archives.ts";
import { AARCH64_BUSYBOX } from "./foreign-guest.ts";
import { IS_FOREIGN_GUEST } from "./kata-configuration.ts";
import { type ImageDescription, writeOciArchive } from "./oci-archive.ts";

const CACHE = join(dirname(fileURLToPath(import.meta.url)), "../../build/cache/images");

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Runs here, and tells its applets. */
const OWN_BUSYBOX = "/bin/busybox";

/** Statically linked: the whole image is this file and links to it. */
const BUSYBOX = IS_FOREIGN_GUEST ? AARCH64_BUSYBOX : OWN_BUSYBOX;

/** What the Debian image has beyond the packages that every Debian needs. */
const DEBIAN_PACKAGES = ["python3", "redis-server", "redis-tools"];

/** Seen by nobody in a container, and two fifths of the image. */
const DEBIAN_LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

/** mmdebstrap fetches and unpacks about 150 packages, ms. */
const DEBIAN_DEADLINE_MS = 600_000;

/** An image archive on disk. */
export interface Image {
  readonly name: string;
  readonly archive: string;
}

/** Makes the image available in an instance of containerd. */
export async function importImage(ctr: Ctr, image: Image): Promise<void> {
  await ctr.must(["images", "import", image.archive], { deadlineMs: 120_000 });
}

/** busybox with all its applets, `/etc/passwd` and a world-writable `/tmp`. */
export function busyboxImage(): Promise<Image> {
  return busyboxImageOf("localhost/busybox:latest", ["sh"]);
}

export const PAUSE_IMAGE = "localhost/pause:latest";

/** What a pod's first container does until it is ended: nothing, and not as root, like Kubernetes' own. */
export function pauseImage(): Promise<Image> {
  return busyboxImageOf(PAUSE_IMAGE, ["tail", "-f", "/dev/null"], "65535:65535");
}

async function busyboxImageOf(name: string, command: readonly string[], user?: string): Promise<Image> {
  const plain = { name, command, env: [PATH], createdBy: "busybox-static" };
  const description: ImageDescription = user === undefined ? plain : { ...plain, user };
  const recipe = [description, createHash("sha256").update(readFileSync(BUSYBOX)).digest("hex"), "2"];
  return await cached("busybox", recipe, description, async (directory, layer) => {
    const root = join(directory, "root");
    await writeBusyboxRoot(root);
    const stable = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    await mustRun("tar", ["-C", root, ...stable, "-cf", layer, "."]);
  });
}

/** Makes `root` the root file system of a busybox image, of that program. */
export async function writeBusyboxRoot(root: string, program = BUSYBOX): Promise<void> {
  for (const name of ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var"]) {
    await mkdir(join(root, name), { recursive: true });
  }
  await chmod(join(root, "tmp"), 0o1777);
  await copyFile(program, join(root, "bin/busybox"));
  for (const applet of (await mustRun(program === AARCH64_BUSYBOX ? OWN_BUSYBOX : program, ["--list"]))
    .trim()
    .split("\n")) {
    if (applet !== "busybox") await link(join(root, "bin/busybox"), join(root, "bin", applet));
  }
  const users = ["root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534:nobody:/home:/bin/false", ""];
  await writeFile(join(root, "etc/passwd"), users.join("\n"));
  await writeFile(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
  await writeFile(join(root, "etc/motd"), "");
}

/** Debian's essential packages with Python and Redis, of the suite that this machine has. */
export async function debianImage(progress: (text: string) => void): Promise<Image> {
  const archives = await debianArchives();
  const description: ImageDescription = {
    name: `localhost/debian:${archives.suite}`,
    command: ["bash"],
    env: [PATH, "LANG=C.UTF-8"],
    createdBy: "mmdebstrap",
  };
  const recipe = [description, DEBIAN_PACKAGES, DEBIAN_LEFT_OUT, "1"];
  return await cached("debian", recipe, description, async (_directory, layer) => {
    progress(
      `making a Debian ${archives.suite} image with ${DEBIAN_PACKAGES.join(", ")} (once, about a minute)`,
    );
    const args = [
      "--variant=essential",
      "--format=tar",
      "--quiet",
      `--include=${DEBIAN_PACKAGES.join(",")}`,
      ...DEBIAN_LEFT_OUT.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
      archives.suite,
      layer,
      "-",
    ];
    await mustRun("mmdebstrap", args, {
      stdin: archives.sources,
      env: { ...process.env, SOURCE_DATE_EPOCH: "0" },
      deadlineMs: DEBIAN_DEADLINE_MS,
    });
  });
}

/** The archive of `recipe` from the cache, or made by `makeLayer`, which writes a tar file. */
async function cached(
  name: string,
  recipe: unknown,
  description: ImageDescription,
  makeLayer: (directory: string, layer: string) => Promise<void>,
): Promise<Image> {
  const key = createHash("sha256")
    .update(JSON.stringify([process.arch, recipe]))
    .digest("hex")
    .slice(0, 16);
  const archive = join(CACHE, `${name}-${key}.tar`);
  if (!existsSync(archive)) {
    await mkdir(CACHE, { recursive: true });
    const directory = await mkdtemp(join(CACHE, `.${name}-`));
    try {
      const layer = join(directory, "layer.tar");
      await makeLayer(directory, layer);
      await writeOciArchive(archive, layer, description);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  return { name: description.name, archive };
}
