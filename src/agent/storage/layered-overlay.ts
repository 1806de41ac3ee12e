/**
 * A root filesystem of layers that are mounted already, each by its name below one directory; what the container changes stays in the
 * guest's memory and counts for the container that writes it.
 * Source: Microsoft's fork of Kata Containers 3.2.0.azl5, agent, option `overlay-rw`, facts only.
 */
import { KataError } from "../../kata-error.ts";
import { mkdirAll, removeTree, symlink } from "../../sys/files.ts";
import { chdir } from "../../sys/process.ts";
import { AGENT_DIRECTORY, SANDBOX_DIRECTORY } from "../sandbox/paths.ts";
import { mountStorage, optionValue, type Storage } from "./storage.ts";

export const LAYERS_DIRECTORY = `${SANDBOX_DIRECTORY}/layers`;

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
  const clean = () => removeTree(base);
  try {
    for (const directory of ["upper", "work"]) mkdirAll(`${base}/${directory}`);
    // Links are shorter than names of 64 digits: the kernel has a page for all of them.
    for (const [index, name] of names.entries()) symlink(`${LAYERS_DIRECTORY}/${name}`, `${base}/${index}`);
    const lower = names.map((_, index) => index).join(":");
    const options = [`lowerdir=${lower}`, "upperdir=upper", "workdir=work"];
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
