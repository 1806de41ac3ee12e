/**
 * An image as disks: one for each layer, and one that takes the changes, put together to one file system.
 *
 * The host sends one storage for each disk, all with the same mount point, and tells by options what each is:
 * `X-kata.overlay-upper`, `X-kata.overlay-lower` (the topmost layer first), `X-kata.multi-layer=true` for all of them, and
 * `X-kata.mkdir.path={{ mount 0 }}/PATH:MODE` for directories that the upper one is to have.
 * Source: upstream's agent, storage driver `erofs.multi-layer`.
 */
import { KataError } from "../../kata-error.ts";
import { O_DIRECTORY, O_PATH, open, rmdirIfExists } from "../../sys/files.ts";
import { openDirectory } from "../container/mount-target.ts";
import { AGENT_DIRECTORY } from "../sandbox/paths.ts";
import { findDisk } from "./find-disk.ts";
import { mountStorage, type Storage, type StorageDriver } from "./storage.ts";

export const MULTI_LAYER_DRIVER = "erofs.multi-layer";

const MARK = "X-kata.multi-layer=true";
const UPPER = "X-kata.overlay-upper";
const LOWER = "X-kata.overlay-lower";
const MAKE_DIRECTORY = "X-kata.mkdir.path=";
const IN_UPPER = "{{ mount 0 }}/";
/** Most layers of an image. Source: overlayfs, `OVL_MAX_STACK`. */
const MAX_LAYERS = 500;

function isPart({ driver, options }: Storage): boolean {
  return driver === MULTI_LAYER_DRIVER || options.includes(MARK);
}

function isUpper({ options, fstype }: Storage): boolean {
  return options.includes(UPPER) || (!options.includes(LOWER) && fstype === "ext4");
}

/** Puts the parts of each layered file system together to one storage, where the first of them was. */
export function joinLayers(storages: readonly Storage[]): Storage[] {
  const joined = new Set<string>();
  return storages.flatMap((storage) => {
    if (!isPart(storage)) return [storage];
    if (joined.has(storage.mountPoint)) return [];
    joined.add(storage.mountPoint);
    const parts = storages.filter((other) => isPart(other) && other.mountPoint === storage.mountPoint);
    return [{ ...storage, driver: MULTI_LAYER_DRIVER, layers: parts }];
  });
}

let count = 0;

/** Mounts every layer aside, and over the mount point what they make together. */
export const multiLayer: StorageDriver = async (storage, context) => {
  const parts = storage.layers ?? [];
  const uppers = parts.filter(isUpper);
  const [upper] = uppers;
  const lowers = parts.filter((part) => !isUpper(part));
  if (upper === undefined || uppers.length > 1 || lowers.length === 0 || lowers.length > MAX_LAYERS) {
    throw invalid(
      `${uppers.length} upper and ${lowers.length} lower layers`,
      "it is one upper and 1 to 500 lower ones",
    );
  }
  const directories = upper.options.flatMap((option) =>
    option.startsWith(MAKE_DIRECTORY) ? [directoryInUpper(option.slice(MAKE_DIRECTORY.length))] : [],
  );
  // Short, as the paths of all layers have to fit into one page.
  const base = `${AGENT_DIRECTORY}/l${++count}`;
  const undo: (() => void)[] = [];
  const undoAll = () => {
    for (const step of undo.reverse()) step();
    rmdirIfExists(base);
  };
  const mountPart = async (part: Storage, name: string, more: readonly string[]): Promise<string> => {
    const mountPoint = `${base}/${name}`;
    const node = await findDisk(part.source, context.hotplugTimeoutMs);
    const options = [...part.options.filter((option) => !option.startsWith("X-kata.")), ...more];
    const unmount = mountStorage({ ...part, options, mountPoint }, node);
    undo.push(() => {
      unmount();
      rmdirIfExists(mountPoint);
    });
    return mountPoint;
  };
  try {
    const top = await mountPart(upper, "u", []);
    using root = open(top, O_PATH | O_DIRECTORY);
    // The disk's content is the host's: a link in it leads nowhere else.
    for (const path of ["upper", "work", ...directories]) openDirectory(root.fd, path).close();
    const below: string[] = [];
    for (const [index, lower] of lowers.entries()) below.push(await mountPart(lower, `${index}`, ["ro"]));
    const overlay: Storage = {
      ...storage,
      fstype: "overlay",
      options: [`lowerdir=${below.join(":")}`, `upperdir=${top}/upper`, `workdir=${top}/work`],
    };
    undo.push(mountStorage(overlay, "overlay"));
    return undoAll;
  } catch (error) {
    undoAll();
    throw error;
  }
};

/** The path in the upper layer that a directive asks for. */
function directoryInUpper(directive: string): string {
  const [path = ""] = directive.split(":");
  if (path.startsWith(IN_UPPER) && !path.split("/").includes("..")) return path.slice(IN_UPPER.length);
  throw invalid(JSON.stringify(directive.slice(0, 200)), `a directory is made in ${IN_UPPER}`);
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "provide layers", object, hint });
}
