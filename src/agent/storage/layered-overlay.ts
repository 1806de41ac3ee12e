/**
 * A root filesystem of layers that are mounted already, each by its name below one directory; what the container changes stays in the
 * guest's memory and counts for the container that writes it, or is on a disk of the pod's.
 * Source: Microsoft's fork of Kata Containers 3.2.0.azl5, agent, option `overlay-rw`, facts only.
 */
import { KataError } from "../../kata-error.ts";
import { AT_FDCWD, mkdirAll, mkdirat, removeTree, symlink } from "../../sys/files.ts";
import { chdir } from "../../sys/process.ts";
import { AGENT_DIRECTORY, SANDBOX_DIRECTORY } from "../sandbox/paths.ts";
import { mountStorage, optionValue, type Storage } from "./storage.ts";

export const LAYERS_DIRECTORY = `${SANDBOX_DIRECTORY}/layers`;

const CHANGES_ON_DISK = "io.katacontainers.fs-opt.changes-on-disk";
/** Where the host has that disk mounted. */
const CHANGES_DISK = `${SANDBOX_DIRECTORY}/changes`;
const WRITABLE = "io.katacontainers.fs-opt.overlay-rw";
/** Most layers of an image. Source: overlayfs, `OVL_MAX_STACK`. */
const MAX_LAYERS = 500;

export function isLayeredOverlay({ options }: Storage): boolean {
  return options.includes(WRITABLE);
}

let count = 0;

/** Mounts the overlay. @returns how to undo it. @throws KataError `invalid-argument` for layers that are no plain names. */
export function mountLayeredOverlay(storage: Storage): () => void {
  const names = (optionValue(storage.options, "lowerdir") ?? "").split(":");
  const isName = (name: string) => /^[\w.-]{1,255}$/.test(name) && name !== "." && name !== "..";
  if (names.length > MAX_LAYERS || !names.every(isName)) {
    throw new KataError("invalid-argument", {
      operation: "put layers together",
      object: JSON.stringify(names.join(":").slice(0, 200)),
      hint: `lowerdir names at most ${MAX_LAYERS} layers below ${LAYERS_DIRECTORY}`,
    });
  }
  const base = `${AGENT_DIRECTORY}/overlay${++count}`;
  const top = `${storage.options.includes(CHANGES_ON_DISK) ? CHANGES_DISK : AGENT_DIRECTORY}/overlay${count}`;
  const clean = () => {
    removeTree(base);
    removeTree(top);
  };
  mkdirAll(base);
  try {
    // On a disk nothing may be there before: whoever has put it there would have changed the layers.
    if (top !== base) mkdirat(AT_FDCWD, top, 0o700);
    for (const directory of ["upper", "work"]) mkdirat(AT_FDCWD, `${top}/${directory}`, 0o755);
    // Links are shorter than names of 64 digits: the kernel has a page for all of them.
    for (const [index, name] of names.entries()) symlink(`${LAYERS_DIRECTORY}/${name}`, `${base}/${index}`);
    const lower = names.map((_, index) => index).join(":");
    const options = [`lowerdir=${lower}`, `upperdir=${top}/upper`, `workdir=${top}/work`];
    chdir(base);
    const unmount = mountStorage({ ...storage, fstype: "overlay", options }, "overlay");
    return () => {
      unmount();
      clean();
    };
  } catch (error) {
    clean();
    throw error;
  } finally {
    chdir("/");
  }
}
