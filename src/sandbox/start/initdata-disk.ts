/** Initdata on its way to the guest: on a disk of its own. Loaded by pods that have some. */
import { annotationPayload, parseInitdata, unpackInitdata } from "../../policy/initdata/initdata.ts";
import { initdataDisk } from "../../policy/initdata/initdata-disk.ts";
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, open, writeAll } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import type { DiskDevice } from "../hypervisor/disk-device.ts";

/**
 * Writes the disk that initdata goes to the guest on.
 *
 * @param annotation base64 of gzip of TOML.
 * @param path of the file, which must not be there.
 * @throws KataError `invalid-initdata` if it is not of that form.
 */
export function makeInitdataDisk(annotation: string, path: string): DiskDevice {
  const payload = annotationPayload(annotation);
  parseInitdata(utf8Decode(unpackInitdata(payload, "annotation")), "annotation");
  using file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o400);
  writeAll(file.fd, initdataDisk(payload));
  return { kind: "disk", id: "initdata0", path, readOnly: true };
}
