/**
 * The agent as an ordinary process: what it changes of the machine stays its own.
 *
 * It gets a mount namespace in which its directories are a tmpfs of its own, so containers' mounts and files end with it; its
 * cgroups are below one directory of its own. Host name, modules and devices are not touched.
 */
import { KataError } from "../../kata-error.ts";
import { mkdirAll } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { CLONE_NEWNS, PR_SET_CHILD_SUBREAPER, prctl } from "../../sys/process.ts";
import { AGENT_DIRECTORY } from "../sandbox/paths.ts";

const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_REC_PRIVATE = 0x4000 | (1 << 18);

/** @throws KataError `permission-denied` for who is not root. */
export function enterOwnMounts(): void {
  if (kernel().syscall("geteuid") !== 0) {
    throw new KataError("permission-denied", {
      operation: "start kata-agent",
      object: "containers need root",
      hint: "run it as root",
    });
  }
  check(kernel().syscall("unshare", CLONE_NEWNS), "make namespace", "mount");
  check(kernel().syscall("mount", null, "/", null, MS_REC_PRIVATE, null), "make mounts private", "/");
  mkdirAll(AGENT_DIRECTORY);
  const mounted = kernel().syscall(
    "mount",
    "kata-agent",
    AGENT_DIRECTORY,
    "tmpfs",
    MS_NOSUID | MS_NODEV,
    "mode=0755",
  );
  check(mounted, "mount tmpfs at", AGENT_DIRECTORY);
  // Orphans of containers without a pid namespace of their own come to the agent and not to the machine's process 1.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}
