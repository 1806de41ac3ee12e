/** The threads by which a monitor runs a machine's CPUs, by the names that it gives them. */
import { readDirectory, readTextFileIfExists } from "../../sys/files.ts";

/** Their numbers on the host, in the order of the CPUs. @param name with the number of the CPU in parentheses. */
export function threadsByName(pid: number, name: RegExp): number[] {
  const directory = `/proc/${pid}/task`;
  return readDirectory(directory)
    .map(({ name: thread }) => ({
      thread: Number(thread),
      cpu: name.exec((readTextFileIfExists(`${directory}/${thread}/comm`) ?? "").trim())?.[1],
    }))
    .filter(({ cpu }) => cpu !== undefined)
    .sort((a, b) => Number(a.cpu) - Number(b.cpu))
    .map(({ thread }) => thread);
}
