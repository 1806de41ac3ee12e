/**
 * Where a spec wants its cgroup: a path, or systemd's `slice:prefix:name`.
 * Sources: OCI runtime specification, "Cgroups Path"; systemd.slice(5), "Description".
 */
import { KataError } from "../kata-error.ts";

export type CgroupsPath =
  | { readonly kind: "default" }
  /** Below the mount of a hierarchy; starts with a slash. */
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "systemd"; readonly slice: string; readonly prefix: string; readonly name: string };

const MAX_LENGTH = 4096;

/** @throws KataError `invalid-argument` for a path that leaves its place, or a slice that is none. */
export function parseCgroupsPath(text: string | undefined): CgroupsPath {
  if (text === undefined || text === "") return { kind: "default" };
  if (text.length >= MAX_LENGTH || text.includes("\0") || text.includes("\n"))
    throw invalid(text, "it is too long, or holds NUL or newline");
  const parts = text.split(":");
  if (parts.length === 3 && !text.includes("/")) {
    const [slice = "", prefix = "", name = ""] = parts;
    if (name === "" || (slice !== "" && !/^(-|[^-]+(-[^-]+)*)\.slice$/.test(slice))) {
      throw invalid(text, "systemd's form is SLICE.slice:PREFIX:NAME");
    }
    return { kind: "systemd", slice, prefix, name };
  }
  const components = text.split("/").filter((part) => part !== "" && part !== ".");
  if (components.includes("..")) throw invalid(text, "it leads out of the cgroup hierarchy");
  return { kind: "path", path: `/${components.join("/")}` };
}

/**
 * The directory of a cgroup below the mount, as a path and as systemd make it.
 *
 * @param fallback used by a spec that names none.
 */
export function cgroupDirectory(place: CgroupsPath, fallback: string): string {
  switch (place.kind) {
    case "default":
      return fallback;
    case "path":
      return place.path;
    case "systemd":
      return `${sliceDirectory(place.slice)}/${unitName(place)}`;
  }
}

/** systemd's name of the unit that holds the container. A name that ends in `.slice` is a unit already. */
export function unitName({ prefix, name }: { readonly prefix: string; readonly name: string }): string {
  if (name.endsWith(".slice")) return name;
  return prefix === "" ? `${name}.scope` : `${prefix}-${name}.scope`;
}

/** `a-b.slice` lies in `a.slice`: `/a.slice/a-b.slice`. */
function sliceDirectory(slice: string): string {
  if (slice === "") return "/system.slice";
  if (slice === "-.slice") return "";
  const names = slice.slice(0, -".slice".length).split("-");
  return names.map((_, index) => `/${names.slice(0, index + 1).join("-")}.slice`).join("");
}

function invalid(text: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read cgroupsPath",
    object: JSON.stringify(text.slice(0, 256)),
    hint,
  });
}
