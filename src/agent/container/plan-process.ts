/** From the `process` of a spec to what a child has to do. */
import { KataError } from "../../kata-error.ts";
import { capabilityMask } from "../../oci/capabilities.ts";
import { rlimitNumber } from "../../oci/rlimits.ts";
import type { compileSeccomp } from "../../oci/seccomp/compile.ts";
import type { LinuxSeccomp, Process, Spec } from "../../oci/types.ts";
import { kernel } from "../../sys/kernel.ts";
import type { ProcessPlan, ResourceLimit, SeccompFilter } from "./process-plan.ts";
import { planScheduling } from "./scheduling.ts";

/** Most arguments and environment entries together; the kernel's own bound is in bytes. */
const MAX_STRINGS = 100_000;

/**
 * {@link prepareToPlan} must have been called with `spec`.
 *
 * @param containerId of the container that `process` is in.
 * @throws KataError `invalid-argument` if the process cannot be run by anybody.
 */
export function planProcess(process: Process, spec: Spec, containerId: string): ProcessPlan {
  const args = process.args ?? [];
  if (args.length === 0) throw invalid("args", "it has no program to run");
  const environment = process.env ?? [];
  if (args.length + environment.length > MAX_STRINGS) throw invalid("args", "it has too many arguments");
  for (const text of [...args, ...environment, process.cwd]) {
    if (text.includes("\0")) throw invalid("args", "an argument, variable or directory holds a NUL");
  }
  if (!process.cwd.startsWith("/"))
    throw invalid(`cwd ${JSON.stringify(process.cwd)}`, "it is an absolute path");
  const { capabilities, user } = process;
  return {
    args,
    environment,
    workingDirectory: process.cwd,
    credentials: {
      uid: user.uid,
      gid: user.gid,
      additionalGids: user.additionalGids ?? [],
      bounding: capabilityMask(capabilities?.bounding ?? []),
      effective: capabilityMask(capabilities?.effective ?? []),
      permitted: capabilityMask(capabilities?.permitted ?? []),
      inheritable: capabilityMask(capabilities?.inheritable ?? []),
      ambient: capabilityMask(capabilities?.ambient ?? []),
      noNewPrivileges: process.noNewPrivileges ?? false,
    },
    limits: planLimits(process),
    oomScoreAdjustment: process.oomScoreAdj,
    umask: user.umask,
    seccomp: planFilter(spec.linux?.seccomp),
    terminal:
      process.terminal === true
        ? { rows: process.consoleSize?.height ?? 0, columns: process.consoleSize?.width ?? 0 }
        : undefined,
    selinuxLabel: process.selinuxLabel ?? "",
    apparmorProfile: process.apparmorProfile ?? "",
    scheduling: planScheduling(process, spec.linux?.personality),
    sessionKeyring: `_ses.${containerId}`,
  };
}

function planLimits(process: Process): ResourceLimit[] {
  const seen = new Set<string>();
  return (process.rlimits ?? []).map(({ type, soft, hard }) => {
    if (seen.has(type)) throw invalid(`rlimit ${type}`, "it is given twice");
    seen.add(type);
    return { resource: rlimitNumber(type), soft: BigInt(soft), hard: BigInt(hard) };
  });
}

/** Filters that have been compiled: containers of a pod, and every exec, mostly bring the same one. */
const compiled = new Map<string, SeccompFilter>();
const MAX_COMPILED = 8;

/** Read when a first specification has a filter: the guest's are off by default, and its memory is small. */
let compile: typeof compileSeccomp | undefined;

/** Reads what {@link planProcess} needs for the processes of `spec`. */
export async function prepareToPlan(spec: Spec): Promise<void> {
  if (spec.linux?.seccomp === undefined) return;
  compile ??= (await import("../../oci/seccomp/compile.ts")).compileSeccomp;
}

function planFilter(seccomp: LinuxSeccomp | undefined): SeccompFilter | undefined {
  if (seccomp === undefined) return undefined;
  const key = JSON.stringify(seccomp);
  let filter = compiled.get(key);
  if (filter === undefined) {
    if (compile === undefined) throw new RangeError("prepareToPlan() comes before planProcess()");
    const { program, flags, notifies } = compile(seccomp, kernel().architecture);
    if (notifies) {
      // Its listener is a program of the host's, which is not in the guest.
      throw new KataError("unimplemented", {
        operation: "read process of spec",
        object: "seccomp action SCMP_ACT_NOTIFY",
        hint: "the agent protocol carries no listener",
      });
    }
    filter = { program, flags };
    if (compiled.size >= MAX_COMPILED) compiled.clear();
    compiled.set(key, filter);
  }
  return filter;
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read process of spec", object, hint });
}
