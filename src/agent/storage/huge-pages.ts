/**
 * Huge pages for a volume of them: the guest sets aside as many as the volume holds.
 * Source: Linux Documentation/admin-guide/mm/hugetlbpage.rst; upstream's agent protocol, hugetlbfs storage.
 */
import { KataError } from "../../kata-error.ts";
import { readTextFile, readTextFileIfExists, writeExisting } from "../../sys/files.ts";
import { optionValue } from "./storage.ts";

/** Pages of one volume; more than any machine has. */
const MAX_PAGES = 1 << 24;

/** Number and kind of the pages that `pagesize=` and `size=` ask for. @throws KataError `invalid-argument`. */
export function hugePagesOf(options: readonly string[]): {
  readonly kilobytes: number;
  readonly pages: number;
} {
  const [pageSize, size] = ["pagesize", "size"].map((name) => parseSize(optionValue(options, name)));
  const pages = Math.ceil((size ?? Number.NaN) / (pageSize ?? Number.NaN));
  if (pageSize !== undefined && pageSize >= 1024 && pages >= 1 && pages <= MAX_PAGES) {
    return { kilobytes: pageSize / 1024, pages };
  }
  throw new KataError("invalid-argument", {
    operation: "provide huge pages",
    object: options.join(","),
    hint: "it takes pagesize= and size=, as in pagesize=2M,size=512M",
  });
}

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** Bytes of `2M`, `2Mi`, `2MB`, `2097152`. */
function parseSize(text: string | undefined): number | undefined {
  const [, digits, unit = ""] = /^(\d{1,15})([KMG]?)(?:i?B?)$/i.exec(text ?? "") ?? [];
  return digits === undefined ? undefined : Number(digits) * (UNITS[unit.toUpperCase()] ?? Number.NaN);
}

/**
 * Sets pages aside, beside those of other volumes.
 *
 * @returns how to give them back.
 * @throws KataError `unsupported` for a size that the machine has not, `resource-exhausted` if there is no memory for them.
 */
export function reserveHugePages(options: readonly string[], sysfs = "/sys"): () => void {
  const { kilobytes, pages } = hugePagesOf(options);
  const file = `${sysfs}/kernel/mm/hugepages/hugepages-${kilobytes}kB/nr_hugepages`;
  const text = readTextFileIfExists(file);
  if (text === undefined) {
    throw new KataError("unsupported", {
      operation: "provide huge pages",
      object: `of ${kilobytes} kB`,
      hint: "this machine has no pages of that size",
    });
  }
  const change = (difference: number): number => {
    const wanted = Math.max(0, Number(readTextFile(file)) + difference);
    writeExisting(file, String(wanted));
    return wanted - Number(readTextFile(file));
  };
  const missing = change(pages);
  if (missing > 0) {
    change(missing - pages);
    throw new KataError("resource-exhausted", {
      operation: "provide huge pages",
      object: `${pages} of ${kilobytes} kB`,
      hint: `${missing} of them are not to be had`,
    });
  }
  return () => void change(-pages);
}
