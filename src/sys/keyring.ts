/**
 * Session keyrings. Source: keyctl(2), KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SETPERM; session-keyring(7).
 */
import { ENOSYS } from "./errno.ts";
import { check, kernel } from "./kernel.ts";
import { fromCString } from "./utf8.ts";

const KEYCTL_JOIN_SESSION_KEYRING = 1;
const KEYCTL_SETPERM = 5;
const KEYCTL_DESCRIBE = 6;
/** `KEY_USR_SEARCH`: other processes of the same user may join it by its name. */
const KEY_USR_SEARCH = 0x0008_0000;
/** Longest description, bytes: type, ids, permissions and a name of at most 255. */
const MAX_DESCRIPTION_BYTES = 512;

/**
 * Leaves the session keyring for the one called `name`, which is made if it does not exist; later processes of the same user
 * can join it. A kernel without keyrings has nothing to leave.
 */
export function joinSessionKeyring(name: string): void {
  const keyring = kernel().syscall("keyctl", KEYCTL_JOIN_SESSION_KEYRING, name);
  if (keyring === -ENOSYS) return;
  check(keyring, "join session keyring", name);
  const description = new Uint8Array(MAX_DESCRIPTION_BYTES);
  const described = kernel().syscall("keyctl", KEYCTL_DESCRIBE, keyring, description, description.length);
  check(described, "describe session keyring", name);
  // type;uid;gid;permissions;name
  const permissions = Number.parseInt(fromCString(description).split(";")[3] ?? "0", 16);
  if ((permissions & KEY_USR_SEARCH) !== 0) return;
  const changed = kernel().syscall("keyctl", KEYCTL_SETPERM, keyring, permissions | KEY_USR_SEARCH);
  check(changed, "change permissions of session keyring", name);
}
