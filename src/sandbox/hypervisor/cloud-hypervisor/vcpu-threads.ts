/** The threads by which Cloud Hypervisor runs a machine's CPUs: it names them `vcpu0`, `vcpu1`, … */
import { readDirectory, readTextFileIfExists } from "../../../sys/files.ts";

/** Their numbers on the host, in the order of the CPUs. */
export function vcpuThreads(pid: number): number[] {
  const directory = `/proc/${pid}/task`;
  return readDirectory(directory)
    .map(({ name }) => ({
      thread: Number(name),
      cpu: /^vcpu(\d+)$/.exec((readTextFileIfExists(`${directory}/${name}/comm`) ?? "").trim())?.[1],
    }))
    .filter(({ cpu }) => cpu !== undefined)
    .sort((a, b) => Number(a.cpu) - Number(b.cpu))
    .map(({ thread }) => thread);
}
