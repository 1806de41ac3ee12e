/** Small files that describe the host. Sources: os-release(5), proc(5). */

export interface Distribution {
  /** `debian` */
  readonly id: string;
  /** Those it derives from. */
  readonly like: readonly string[];
  /** `Debian GNU/Linux` */
  readonly name: string;
  /** `12` */
  readonly version: string;
}

/** @param text of os-release. */
export function parseOsRelease(text: string): Distribution {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([A-Z_0-9]+)=(.*)$/.exec(line.trim());
    if (match?.[1] !== undefined) fields.set(match[1], unquote(match[2] ?? ""));
  }
  return {
    id: fields.get("ID") ?? "linux",
    like: (fields.get("ID_LIKE") ?? "").split(" ").filter((word) => word !== ""),
    name: fields.get("NAME") ?? "Linux",
    version: fields.get("VERSION_ID") ?? "",
  };
}

/** A value as a shell would read it. */
function unquote(value: string): string {
  const quote = value[0];
  if ((quote === '"' || quote === "'") && value.length >= 2 && value.endsWith(quote)) {
    const inner = value.slice(1, -1);
    return quote === '"' ? inner.replace(/\\([\\"$`])/g, "$1") : inner;
  }
  return value;
}

/** KiB. */
export interface MemoryInfo {
  readonly total: number;
  readonly free: number;
  /** What a new program could have without swapping. */
  readonly available: number;
}

/** @param text of /proc/meminfo. */
export function parseMemoryInfo(text: string): MemoryInfo {
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0);
  return { total: field("MemTotal"), free: field("MemFree"), available: field("MemAvailable") };
}

/** Names in /proc/filesystems. */
export function parseFilesystems(text: string): ReadonlySet<string> {
  return new Set(
    text
      .split("\n")
      .map((line) => line.split("\t").at(-1) ?? "")
      .filter((name) => name !== ""),
  );
}

export interface CgroupLayout {
  /** Version 2, version 1, or version 1 with an empty version 2 beside it. */
  readonly mode: "unified" | "legacy" | "hybrid" | "none";
  readonly controllers: ReadonlySet<string>;
}

/**
 * How cgroups are mounted below /sys/fs/cgroup.
 *
 * @param mounts text of /proc/self/mounts. @param unifiedControllers of `cgroup.controllers` at its root.
 */
export function parseCgroupLayout(mounts: string, unifiedControllers: string): CgroupLayout {
  let root = false;
  let beside = false;
  const legacy = new Set<string>();
  for (const line of mounts.split("\n")) {
    const [, at = "", type, options = ""] = line.split(" ");
    if (at !== "/sys/fs/cgroup" && !at.startsWith("/sys/fs/cgroup/")) continue;
    if (type === "cgroup2") {
      if (at === "/sys/fs/cgroup") root = true;
      else beside = true;
    } else if (type === "cgroup") {
      for (const option of options.split(",")) legacy.add(option);
    }
  }
  if (root) {
    const controllers = new Set(unifiedControllers.split(/\s+/).filter((name) => name !== ""));
    return { mode: "unified", controllers };
  }
  if (legacy.size > 0) return { mode: beside ? "hybrid" : "legacy", controllers: legacy };
  return { mode: "none", controllers: new Set() };
}
