import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runCommand } from "../harness/command.ts";
import { busyboxImage, importImage } from "../harness/images.ts";
import { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME } from "../harness/subject.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** Directories that an installation writes to: with this script before it, only its own mount namespace sees what it writes. */
const OWN_DIRECTORIES = `
layer=$(mktemp -d)
mount -t tmpfs kata-install-test "$layer"
for directory in /etc /usr/local /usr/share; do
  mkdir -p "$layer$directory/upper" "$layer$directory/work"
  mount -t overlay -o "lowerdir=$directory,upperdir=$layer$directory/upper,workdir=$layer$directory/work" overlay "$directory"
done
umount --lazy "$layer"
rmdir "$layer"
# Templates of its guest.
mkdir -p /run/vc/vm
mount -t tmpfs kata-install-test /run/vc/vm
`;

/** The commands below a heading of the page. */
function commandsOf(heading: string): string {
  const page = readFileSync(join(ROOT, "docs/install.md"), "utf8");
  const section = page.slice(page.indexOf(`\n## ${heading}\n`));
  const commands = /```sh\n(.*?)```/s.exec(section)?.[1] ?? "";
  // A kernel that has to be unpacked on aarch64 is told of in the text.
  return process.arch === "arm64"
    ? commands.replace("build/image/vmlinux ", "build/image/vmlinuz ")
    : commands;
}

test("an installation by docs/install.md lets an unchanged containerd run containers in virtual machines", async () => {
  const install = `cd '${ROOT}'\nPATH=/usr/local/bin:$PATH\n${commandsOf("Install")}`;
  await using containerd = await PrivateContainerd.start({
    searchFirst: ["/usr/local/bin"],
    env: () => ({ KATA_CONF_FILE: "" }),
    privateMounts: `${OWN_DIRECTORIES}\n${install}`,
  });
  expect(containerd.log).toContain("System can currently create Kata Containers");
  const image = await busyboxImage();
  await importImage(containerd.ctr, image);
  const id = `${containerd.address.tag}-install`;
  const result = await containerd.ctr.runContainer({
    id,
    image: image.name,
    runtime: KATA_RUNTIME,
    command: ["uname", "-r"],
  });
  expect(result).toMatchObject({ status: 0, stderr: "" });
  const host = await runCommand("uname", ["-r"]);
  expect(result.stdout).toMatch(/^\d+\.\d+\.\S+\n$/);
  expect(result.stdout).not.toBe(host.stdout);
});

test("a removal by docs/install.md leaves nothing of the installation", async () => {
  const script = [
    "set -e",
    OWN_DIRECTORIES,
    `cd '${ROOT}'`,
    "PATH=/usr/local/bin:$PATH",
    "before=$(find /etc /usr/local /usr/share | sort | sha256sum)",
    commandsOf("Install"),
    commandsOf("Remove"),
    'test "$before" = "$(find /etc /usr/local /usr/share | sort | sha256sum)"',
  ].join("\n");
  const { status, stderr } = await runCommand("unshare", ["--mount", "bash", "-c", script]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});
