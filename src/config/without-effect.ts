/** What is accepted and changes nothing, told to whoever sets it. */
import { DRIVER_WITHOUT_EFFECT } from "./driver-without-effect.ts";
import { DRIVERS, type DriverName, defaultFor, isUsedBy, type Key } from "./key.ts";

/**
 * Why `value` of the key changes nothing with `driver`; undefined if it does, or if it is what goes without saying.
 *
 * @param name of the key in its section.
 * @param value has been checked against the key.
 */
export function withoutEffect(
  name: string,
  key: Key,
  driver: DriverName,
  value: unknown,
): string | undefined {
  if (isEqual(value, defaultFor(key, driver))) return undefined;
  if (key.withoutEffect !== undefined) return `it has no effect: ${key.withoutEffect}`;
  const reason = DRIVER_WITHOUT_EFFECT[driver]?.[name];
  if (reason !== undefined) return `it has no effect with ${driver}: ${reason}`;
  if (isUsedBy(key, driver)) return undefined;
  const users = Object.values(DRIVERS).filter((each) => isUsedBy(key, each));
  return `it has no effect with ${driver}: it is a key of ${users.join(", ")}`;
}

/** Whether two values of one key are the same; both are what TOML has. */
function isEqual(one: unknown, other: unknown): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
