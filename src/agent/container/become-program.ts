/** What every container process does in its own copy of the agent, before and after it is inside the container. */
import { hasErrno } from "../../kata-error.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  AT_EMPTY_PATH,
  modeOf,
  O_NONBLOCK,
  O_RDONLY,
  readToEnd,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  statx,
  writeExisting,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { joinSessionKeyring } from "../../sys/keyring.ts";
import {
  closeFrom,
  duplicate,
  execve,
  PR_SET_PDEATHSIG,
  prctl,
  prlimit,
  resetSignals,
  SIGKILL,
  setsid,
  umask,
} from "../../sys/process.ts";
import { exit } from "../../sys/program.ts";
import { loadFilter } from "../../sys/seccomp.ts";
import { setControllingTerminal } from "../../sys/terminal.ts";
import { isTracing, takePhases, tracePhase } from "../../sys/trace.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { ParentChannel } from "./child-channel.ts";
import { becomeUser } from "./credentials.ts";
import { completeEnvironment, homeOf, MAX_PASSWD_BYTES } from "./environment.ts";
import { executionRefused, findExecutable } from "./executable-lookup.ts";
import type { ProcessPlan } from "./process-plan.ts";
import { applyScheduling } from "./scheduling.ts";
import { setLabels } from "./security-labels.ts";
import { enterWorkingDirectory } from "./working-directory.ts";

/** The child's descriptors: 0, 1, 2, the channel, then those that it was given to set itself up. */
const CHANNEL_FD = 3;
export const FIRST_GIVEN_FD = 4;

const O_CLOEXEC = 0o2000000;
/** Exit status of a child that could not become its program; the agent knows why from the channel. */
const EXIT_NOT_STARTED = 1;

/**
 * Runs `body` in a fresh clone of the agent; what it throws goes to the agent as a message.
 *
 * @param descriptors of the agent that become the child's 0, 1, 2, the channel and {@link FIRST_GIVEN_FD} and up. All
 * others are closed: the clone also holds every other container's pipes.
 */
export function runChild(descriptors: readonly number[], body: (channel: ParentChannel) => never): never {
  try {
    loop.abandon();
    // The agent's own, copied with the rest.
    takePhases();
    const taking = tracePhase("guest child", "take descriptors");
    takeDescriptors(descriptors);
    taking();
    const channel = new ParentChannel(CHANNEL_FD);
    try {
      channel.waitToContinue();
      body(channel);
    } catch (error) {
      channel.fail(error);
    }
  } finally {
    exit(EXIT_NOT_STARTED);
  }
}

function takeDescriptors(descriptors: readonly number[]): void {
  // First out of the way of all target numbers, so that no target overwrites a source that comes later.
  const sources = descriptors.map((fd) => duplicate(fd, descriptors.length).release());
  sources.forEach((source, target) => {
    check(kernel().syscall("dup3", source, target, target < CHANNEL_FD ? 0 : O_CLOEXEC), "take", source);
  });
  closeFrom(descriptors.length);
}

/** The out-of-memory score, while the agent's own /proc is still in sight. */
export function applyOomScore(plan: ProcessPlan): void {
  if (plan.oomScoreAdjustment === undefined) return;
  writeExisting("/proc/self/oom_score_adj", String(plan.oomScoreAdjustment));
}

/**
 * The last steps, inside the container's namespaces and root: session, user, program.
 *
 * @param beforeStart runs when all is ready but the program: for a container's first process, the wait for its start.
 */
export function becomeProgram(plan: ProcessPlan, channel: ParentChannel, beforeStart: () => void): never {
  const becoming = tracePhase("guest child", "become user");
  umask(plan.umask ?? 0o022);
  setsid();
  if (plan.terminal !== undefined) setControllingTerminal(0);
  giveStdioToUser(plan);
  // The agent's own, and so every other container's, stays out of reach.
  joinSessionKeyring(plan.sessionKeyring);
  setLabels(plan);
  applyScheduling(plan.scheduling);
  const environment = completeEnvironment(plan.environment, () => homeDirectory(plan.credentials.uid));
  const load = () => {
    if (plan.seccomp !== undefined) loadFilter(plan.seccomp.program, plan.seccomp.flags);
  };
  const entered = enterAsRoot(plan.workingDirectory);
  // Late, as a program may be allowed fewer files than its set-up opens; before the privilege to raise a limit is gone.
  for (const { resource, soft, hard } of plan.limits) prlimit(0, resource, soft, hard);
  becomeUser(plan.credentials, load);
  if (!entered) enterWorkingDirectory(plan.workingDirectory);
  // A change of user clears it, so it comes after.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const path = findExecutable(plan.args[0] ?? "", environment);
  closeFrom(FIRST_GIVEN_FD);
  resetSignals();
  becoming();
  if (isTracing()) channel.passPhases(takePhases());
  channel.ready();
  beforeStart();
  if (plan.credentials.noNewPrivileges) load();
  const errno = -execve(path, plan.args, environment);
  throw executionRefused(path, errno);
}

/** Enters the directory, or makes it, as root. @returns false if it is one that only its user may enter (NFS). */
function enterAsRoot(path: string): boolean {
  try {
    enterWorkingDirectory(path);
    return true;
  } catch (error) {
    if (hasErrno(error, "EACCES", "EPERM")) return false;
    throw error;
  }
}

/** Pipes are opened again through /dev/stdout and the like: their owner must be the process's user. */
function giveStdioToUser(plan: ProcessPlan): void {
  const { uid, gid } = plan.credentials;
  if (uid === 0) return;
  for (const fd of [0, 1, 2]) {
    const kind = modeOf(fd) & S_IFMT;
    if (kind === S_IFIFO) kernel().syscall("fchown", fd, uid, gid);
  }
}

/** Reads the container's passwd file, which may be anything. */
function homeDirectory(uid: number): string {
  const fd = kernel().syscall("openat", -100, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) return "/";
  using file = new FileDescriptor(fd);
  const status = statx(file.fd, "", AT_EMPTY_PATH);
  if ((status.mode & S_IFMT) !== S_IFREG || status.size > MAX_PASSWD_BYTES) return "/";
  return homeOf(utf8Decode(readToEnd(file.fd, "/etc/passwd", MAX_PASSWD_BYTES)), uid);
}
