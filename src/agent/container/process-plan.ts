/**
 * What a child has to do to become a container's process, worked out before it is cloned: the child itself parses nothing
 * and only makes system calls.
 */
import type { Credentials } from "./credentials.ts";
import type { SchedulingPlan } from "./scheduling.ts";

export interface ResourceLimit {
  /** `RLIMIT_*` number. */
  readonly resource: number;
  readonly soft: bigint;
  readonly hard: bigint;
}

/** A seccomp filter, ready for the kernel. */
export interface SeccompFilter {
  /** Instructions of 8 bytes each (struct sock_filter). */
  readonly program: Uint8Array;
  /** `SECCOMP_FILTER_FLAG_*`. */
  readonly flags: number;
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface ProcessPlan {
  readonly args: readonly string[];
  readonly environment: readonly string[];
  readonly workingDirectory: string;
  readonly credentials: Credentials;
  readonly limits: readonly ResourceLimit[];
  readonly oomScoreAdjustment: number | undefined;
  readonly umask: number | undefined;
  readonly seccomp: SeccompFilter | undefined;
  /** Size of its terminal; undefined if it has none. Zero rows: not told. */
  readonly terminal: TerminalSize | undefined;
  /** Security label for execve (SELinux), empty for none. */
  readonly selinuxLabel: string;
  readonly apparmorProfile: string;
  readonly scheduling: SchedulingPlan;
  /** Name of the session keyring: the container's own. */
  readonly sessionKeyring: string;
}
