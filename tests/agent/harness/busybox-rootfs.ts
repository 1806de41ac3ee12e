/** A root filesystem to run containers from: busybox and a handful of files. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Debian's busybox-static. */
const BUSYBOX = "/bin/busybox";

export interface Rootfs extends Disposable {
  readonly path: string;
}

/** Makes one in a temporary directory; it is removed at the end of the scope. */
export function busyboxRootfs(): Rootfs {
  const path = mkdtempSync(join(tmpdir(), "kata-agent-rootfs-"));
  // Users other than root have to get in.
  chmodSync(path, 0o755);
  for (const directory of ["bin", "etc", "proc", "sys", "dev", "tmp", "work", "data"]) {
    mkdirSync(join(path, directory));
  }
  copyFileSync(BUSYBOX, join(path, "bin/busybox"));
  chmodSync(join(path, "bin/busybox"), 0o755);
  const applets = execFileSync(BUSYBOX, ["--list"], { encoding: "utf8" }).trim().split("\n");
  for (const applet of applets) {
    if (applet !== "busybox") linkSync(join(path, "bin/busybox"), join(path, "bin", applet));
  }
  chmodSync(join(path, "tmp"), 0o1777);
  writeFileSync(
    join(path, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n",
  );
  writeFileSync(join(path, "etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n");
  writeFileSync(join(path, "work/not-executable"), "#!/bin/sh\n");
  symlinkSync("/nowhere", join(path, "work/dangling"));
  return {
    path,
    [Symbol.dispose]() {
      rmSync(path, { recursive: true, force: true });
    },
  };
}
