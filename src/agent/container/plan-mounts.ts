/** From the mounts of a spec to what a child has to do. */
import { KataError } from "../../kata-error.ts";
import { type MountOptions, parseMountOptions } from "../../oci/mount-options.ts";
import type { Spec } from "../../oci/types.ts";
import type { MountPlan, MountSource } from "./mount-plan.ts";
import { cleanPath } from "./mount-target.ts";

/** Everything of a mount but its place. */
export type MountOptionsPlan = Omit<MountPlan, "destination">;

/** The mounts of `spec`, in its order. @throws KataError `invalid-argument`. */
export function planMounts(spec: Spec): MountPlan[] {
  return (spec.mounts ?? []).map((mount) => {
    const destination = cleanPath(mount.destination);
    if (destination === "/" || mount.destination.includes("\0")) {
      throw new KataError("invalid-argument", {
        operation: "read mount of spec",
        object: JSON.stringify(mount.destination.slice(0, 256)),
        hint: "it is a path below the root",
      });
    }
    return { destination, ...planMountOptions(mount.type ?? "", mount.source ?? "", mount.options ?? []) };
  });
}

/** What to mount and how. A bind mount is told by its options or its type. */
export function planMountOptions(type: string, source: string, options: readonly string[]): MountOptionsPlan {
  const parsed = parseMountOptions(options);
  if (parsed.idMap !== "none") {
    throw new KataError("unimplemented", { operation: "read mount of spec", object: "an id-mapped mount" });
  }
  return {
    source: planSource(type, source, parsed),
    attributes: parsed.attributes,
    recursiveAttributes: parsed.recursiveAttributes,
    propagation: parsed.propagation,
    copyUp: parsed.copyUp && type === "tmpfs",
  };
}

function planSource(type: string, source: string, parsed: MountOptions): MountSource {
  if (parsed.bind || type === "bind" || type === "none") {
    if (source.startsWith("/")) return { kind: "bind", path: source, recursive: parsed.recursiveBind };
    throw new KataError("invalid-argument", {
      operation: "read mount of spec",
      object: `bind source ${JSON.stringify(source.slice(0, 256))}`,
      hint: "it is an absolute path in the guest",
    });
  }
  if (type === "cgroup" || type === "cgroup2") return { kind: "cgroup" };
  if (type === "") {
    throw new KataError("invalid-argument", {
      operation: "read mount of spec",
      object: "it has neither type nor bind",
    });
  }
  return {
    kind: "filesystem",
    type,
    source,
    parameters: [
      ...parsed.superblock.map((name) => [name] as const),
      ...parsed.data.flatMap(splitParameters),
    ],
  };
}

/** `a=1,b` as parameters. */
function splitParameters(data: string): (readonly [name: string, value?: string])[] {
  return data
    .split(",")
    .filter((parameter) => parameter !== "")
    .map((parameter) => {
      const equals = parameter.indexOf("=");
      return equals < 0 ? [parameter] : [parameter.slice(0, equals), parameter.slice(equals + 1)];
    });
}

/** The propagation of a root filesystem; a slave if nothing is said. */
export function planPropagation(name: string | undefined): {
  readonly type: number;
  readonly recursive: boolean;
} {
  const text = name === undefined || name === "" ? "rslave" : name;
  const [propagation] = parseMountOptions([text]).propagation;
  if (propagation !== undefined) return propagation;
  throw new KataError("invalid-argument", {
    operation: "read spec",
    object: `rootfsPropagation ${JSON.stringify(text)}`,
    hint: "it is shared, slave, private or unbindable, with or without a leading r",
  });
}
