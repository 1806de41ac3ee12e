/** Lists of CPUs, such as `0-3,7`. Source: cpuset(7), "List format". */
import { KataError } from "../kata-error.ts";

/** More CPUs than any kernel is built for. */
const MAX_CPU = 8191;

/** The numbers of a list, in its order. @throws KataError `invalid-argument`. */
export function parseCpuList(list: string): number[] {
  return list.split(",").flatMap((part) => {
    const [, first, last = first] = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (!(from <= to && to <= MAX_CPU)) {
      throw new KataError("invalid-argument", {
        operation: "read CPU list",
        object: JSON.stringify(list.slice(0, 80)),
        hint: "it is numbers and ranges, such as 0-3,7",
      });
    }
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}
