/** From the mounts of a spec to what a child has to do. */
import { KataError } from "../../kata-error.ts";
import { type MountOptions, parseMountOptions } from "../../oci/mount-options.ts";
import type { Mount, Spec } from "../../oci/types.ts";
import { type IdMaps, idMapText } from "./id-map-namespace.ts";
import type { MountPlan, MountSource } from "./mount-plan.ts";
import { cleanPath } from "./mount-target.ts";

/** Everything of a mount but its place. */
export interface MountOptionsPlan extends Omit<MountPlan, "destination"> {
  readonly source: Exclude<MountSource, { kind: "prepared" }>;
}

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
    const plan = planMountOptions(mount.type ?? "", mount.source ?? "", mount.options ?? []);
    const maps = ownMaps(mount);
    return {
      destination,
      ...plan,
      source: withLabel(plan.source, spec.linux?.mountLabel),
      idMap:
        plan.idMap === undefined && maps === undefined
          ? undefined
          : { recursive: plan.idMap?.recursive ?? false, maps },
    };
  });
}

function ownMaps({ destination, uidMappings = [], gidMappings = [] }: Mount): IdMaps | undefined {
  if (uidMappings.length === 0 && gidMappings.length === 0) return undefined;
  if (uidMappings.length > 0 && gidMappings.length > 0) {
    return { uid: idMapText("uidMappings", uidMappings), gid: idMapText("gidMappings", gidMappings) };
  }
  throw new KataError("invalid-argument", {
    operation: "read mount of spec",
    object: destination,
    hint: "it has uidMappings and gidMappings, or none of them",
  });
}

/** File systems that have labels of their own, whatever a mount says. Source: SELinux Project, file system labelling. */
const SELF_LABELLED: ReadonlySet<string> = new Set(["proc", "sysfs", "mqueue", "cgroup", "cgroup2"]);

/** A file system whose files all have the SELinux label that the spec gives. */
function withLabel(source: MountSource, label: string | undefined): MountSource {
  if (source.kind !== "filesystem" || !label || SELF_LABELLED.has(source.type)) return source;
  return { ...source, parameters: [...source.parameters, ["context", label]] };
}

/** What to mount and how. A bind mount is told by its options or its type. */
export function planMountOptions(type: string, source: string, options: readonly string[]): MountOptionsPlan {
  const parsed = parseMountOptions(options);
  return {
    source: planSource(type, source, parsed),
    attributes: parsed.attributes,
    recursiveAttributes: parsed.recursiveAttributes,
    propagation: parsed.propagation,
    copyUp: parsed.copyUp && type === "tmpfs",
    idMap: parsed.idMap === "none" ? undefined : { recursive: parsed.idMap === "recursive", maps: undefined },
  };
}

function planSource(
  type: string,
  source: string,
  parsed: MountOptions,
): Exclude<MountSource, { kind: "prepared" }> {
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
