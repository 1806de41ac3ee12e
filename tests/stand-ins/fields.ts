/** Objects of an API by the types of their fields, and what a value lacks that is to be one. */

/**
 * Types by their names, fields by theirs: a type is `string`, `integer`, `boolean`, `object`, words with `|` between, or another of the
 * objects. `*` is behind the type of a field that must be there; `[]` makes a list of it.
 */
export type Objects = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What is wrong with `value` as an object of type `type`: one line each, empty if nothing is. */
export function faultsOf(objects: Objects, value: unknown, type: string, at = type): string[] {
  const fields = objects[type];
  if (fields === undefined) return [`${at}: there is no ${type}`];
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return [`${at}: expected an object`];
  const unknown = Object.keys(value).filter((name) => !Object.hasOwn(fields, name));
  return [
    ...unknown.map((name) => `${at}.${name}: no such field`),
    ...Object.entries(fields).flatMap(([name, spelled]) => {
      const field: unknown = Reflect.get(value, name);
      const needed = spelled.endsWith("*");
      if (field === undefined) return needed ? [`${at}.${name}: missing`] : [];
      return fieldFaults(objects, field, needed ? spelled.slice(0, -1) : spelled, `${at}.${name}`);
    }),
  ];
}

function fieldFaults(objects: Objects, value: unknown, type: string, at: string): string[] {
  if (type.endsWith("[]")) {
    if (!Array.isArray(value)) return [`${at}: expected a list`];
    return value.flatMap((item: unknown, index) =>
      fieldFaults(objects, item, type.slice(0, -2), `${at}[${index}]`),
    );
  }
  if (Object.hasOwn(objects, type)) return faultsOf(objects, value, type, at);
  if (type.includes("|"))
    return type.split("|").includes(String(value)) ? [] : [`${at}: expected one of ${type}`];
  const right =
    type === "integer" ? Number.isSafeInteger(value) && Number(value) >= 0 : typeof value === type;
  return right ? [] : [`${at}: expected ${type}, got ${JSON.stringify(value)}`];
}
