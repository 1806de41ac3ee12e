/** The environment of a container's process. */

/** Largest /etc/passwd that is searched for a home directory, bytes. */
export const MAX_PASSWD_BYTES = 1 << 20;

/**
 * `entries` as the program gets them: of a name that occurs twice the last one counts, entries without a name are
 * dropped, and `HOME` is added where it is missing, as login(1) does.
 *
 * @param home of the user, from the container's /etc/passwd.
 */
export function completeEnvironment(entries: readonly string[], home: () => string): string[] {
  const variables = new Map<string, string>();
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    if (equals <= 0 || entry.includes("\0")) continue;
    variables.set(entry.slice(0, equals), entry);
  }
  if (!variables.has("HOME")) variables.set("HOME", `HOME=${home()}`);
  return [...variables.values()];
}

/** The home directory of `uid` in the text of a passwd file; `/` if it is not told. Source: passwd(5). */
export function homeOf(passwd: string, uid: number): string {
  for (const line of passwd.split("\n")) {
    const fields = line.split(":");
    if (fields.length >= 6 && fields[2] === String(uid)) return fields[5] || "/";
  }
  return "/";
}
