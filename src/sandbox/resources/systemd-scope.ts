/**
 * A sandbox in a scope of systemd's: the unit that the container manager names by `SLICE.slice:PREFIX:NAME`.
 *
 * The shim is the scope's first process, so that the programs that it starts are in it as well; systemd removes it when the last of them
 * has ended, however that comes. With `Delegate`, systemd leaves what is below it alone.
 * Sources: systemd, org.freedesktop.systemd1(5) "StartTransientUnit", systemd.scope(5); "Control Group APIs and Delegation".
 */
import { type CgroupsPath, unitName } from "../../oci/cgroups-path.ts";
import type { DbusValue } from "../../sys/dbus/marshal.ts";

export interface SystemdScope {
  readonly slice: string;
  readonly unit: string;
  readonly pid: number;
}

/** The scope that a specification's cgroup path names; undefined for any other path. */
export function scopeOf(place: CgroupsPath, pid: number): SystemdScope | undefined {
  if (place.kind !== "systemd") return undefined;
  const unit = unitName(place);
  // A slice holds no process of its own.
  if (!unit.endsWith(".scope")) return undefined;
  return { slice: place.slice === "" ? "system.slice" : place.slice, unit, pid };
}

/** What the manager is asked for. */
export function scopeRequest({ slice, unit, pid }: SystemdScope): DbusValue[] {
  const property = (name: string, signature: string, value: DbusValue): DbusValue => [
    name,
    { signature, value },
  ];
  const properties = [
    property("Description", "s", `Kata Containers sandbox ${unit}`),
    property("Slice", "s", slice),
    property("Delegate", "b", true),
    property("PIDs", "au", [pid]),
    property("DefaultDependencies", "b", false),
    property("CPUAccounting", "b", true),
    property("MemoryAccounting", "b", true),
    property("TasksAccounting", "b", true),
    // A scope of the same name that has failed must not be in the way.
    property("CollectMode", "s", "inactive-or-failed"),
  ];
  return [unit, "replace", properties, []];
}

/** @param text of /proc/PID/cgroup: the unified hierarchy, or systemd's own. */
export function isIn(text: string, unit: string): boolean {
  return text.split("\n").some((line) => /^\d+:(name=systemd)?:/.test(line) && line.endsWith(`/${unit}`));
}
