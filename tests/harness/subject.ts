/**
 * The runtime under test: `KATA_TEST_RUNTIME`, or Kata Containers. Most tests state what every runtime does; run with
 * `io.containerd.runc.v2` they prove themselves against the reference.
 */
export const KATA_RUNTIME = "io.containerd.kata.v2";
export const RUNC_RUNTIME = "io.containerd.runc.v2";

export interface Subject {
  /** As containerd names it. */
  readonly runtime: string;
  /** True if its containers run in a virtual machine. */
  readonly virtualMachine: boolean;
}

export function subjectOf(runtime: string): Subject {
  return { runtime, virtualMachine: !runtime.includes(".runc.") };
}

export const subject: Subject = subjectOf(process.env.KATA_TEST_RUNTIME ?? KATA_RUNTIME);
