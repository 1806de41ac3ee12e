/**
 * The commands of an OCI runtime, as Podman, CRI-O's conmon and Docker call them: names, flags and words are runc's.
 */
import type { ContainerCall } from "./container/container-call.ts";
import { DEBUG_PORT, isGuestExec, SANDBOX_LIST_FLAGS } from "./sandbox-commands.ts";
import type { Command, Flag, Operands } from "./types.ts";

/** A command whose code is loaded when it is called: `version` and the help need none of it. */
function verb(
  load: () => Promise<(call: ContainerCall) => Promise<number>>,
  failed?: number,
): Command["run"] {
  return async (context) => {
    const { containerVerb } = await import("./container/container-call.ts");
    return await containerVerb(await load(), failed)(context);
  };
}

/** Before the command. */
export const CONTAINER_FLAGS: readonly Flag[] = [
  { names: ["--root"], value: "DIRECTORY", doc: "keep containers there (default /run/kata-runtime)" },
  { names: ["--log"], value: "FILE", doc: "tell failures of containers there too" },
  { names: ["--log-format"], value: "FORMAT", doc: "of that file: text or json" },
  { names: ["--debug"], doc: "log more of the container's shim" },
  { names: ["--systemd-cgroup"], doc: "accepted: the path in the specification says it" },
  { names: ["--cgroup-manager"], value: "NAME", doc: "accepted: the path in the specification says it" },
  { names: ["--rootless"], value: "WORD", doc: "accepted: machines are root's" },
];

/** What runc's `exec` ends with, so that no status of the process is taken for it. */
const EXEC_FAILED = 255;

const ID: Operands = { shown: "ID", min: 1, max: 1 };

const BUNDLE: Flag = { names: ["--bundle", "-b"], value: "DIRECTORY", doc: "directory of config.json" };
const CONSOLE: Flag = { names: ["--console-socket"], value: "SOCKET", doc: "send the terminal there" };
const PID_FILE: Flag = { names: ["--pid-file"], value: "FILE", doc: "write the pid that stands for it" };
const PRESERVE: Flag = { names: ["--preserve-fds"], value: "COUNT", doc: "refused unless 0" };
const JSON_FLAG: Flag = { names: ["--json"], doc: "as --format json" };
/** Of commands that write nothing else. */
const ALWAYS_JSON: Flag = { names: ["--json"], doc: "as always" };
const FORMAT: Flag = { names: ["--format", "-f"], value: "FORMAT", doc: "table or json" };

const CREATE_FLAGS: readonly Flag[] = [
  BUNDLE,
  CONSOLE,
  PID_FILE,
  PRESERVE,
  { names: ["--no-pivot"], doc: "accepted: the guest can always change its root" },
  { names: ["--no-new-keyring"], doc: "accepted: keyrings are the guest's" },
];

const CREATE_COMMAND: Command = {
  name: "create",
  aliases: [],
  summary: "create a container that waits for its start",
  description: "Boots a machine for the container of a bundle and creates it there, up to its program.",
  flags: CREATE_FLAGS,
  operands: ID,
  flagsFirst: true,
  examples: [["create --bundle /tmp/web web", "the container of /tmp/web/config.json"]],
  run: verb(async () => (await import("./container/run-life-cycle.ts")).runCreate),
};

const START_COMMAND: Command = {
  name: "start",
  aliases: [],
  summary: "start the program of a created container",
  description: "Starts the program of a container that was created.",
  flags: [],
  operands: ID,
  flagsFirst: true,
  examples: [["start web", "let web run"]],
  run: verb(async () => (await import("./container/run-life-cycle.ts")).runStart),
};

const RUN_COMMAND: Command = {
  name: "run",
  aliases: [],
  summary: "create and start a container",
  description: "Creates and starts a container; in the foreground it ends with the container's exit status.",
  flags: [
    ...CREATE_FLAGS,
    { names: ["--detach", "-d"], doc: "come back once it runs" },
    { names: ["--keep"], doc: "do not delete it at its end" },
    { names: ["--no-subreaper"], doc: "accepted: the guest has its own" },
  ],
  operands: ID,
  flagsFirst: true,
  examples: [["run --bundle /tmp/web web", "run it here"]],
  run: verb(async () => (await import("./container/run-life-cycle.ts")).runRun),
};

const STATE_COMMAND: Command = {
  name: "state",
  aliases: [],
  summary: "show the state of a container as JSON",
  description: "Shows the state of a container: creating, created, running, paused or stopped.",
  flags: [ALWAYS_JSON],
  operands: ID,
  flagsFirst: true,
  examples: [["state web", "what web is doing"]],
  run: verb(async () => (await import("./container/run-queries.ts")).runState),
};

const KILL_COMMAND: Command = {
  name: "kill",
  aliases: [],
  summary: "send a signal to a container",
  description: "Sends a signal, TERM unless told, to the first process of a container.",
  flags: [{ names: ["--all", "-a"], doc: "to all of its processes" }],
  operands: { shown: "ID [SIGNAL]", min: 1, max: 2 },
  flagsFirst: true,
  examples: [["kill web KILL", "end web"]],
  run: verb(async () => (await import("./container/run-life-cycle.ts")).runKill),
};

const DELETE_COMMAND: Command = {
  name: "delete",
  aliases: [],
  summary: "give back what a container holds",
  description: "Removes a container that has stopped, with the machine if it was the last one in it.",
  flags: [{ names: ["--force", "-f"], doc: "end it first; no error if there is none" }],
  operands: ID,
  flagsFirst: true,
  examples: [["delete --force web", "whatever state it is in"]],
  run: verb(async () => (await import("./container/run-life-cycle.ts")).runDelete),
};

const execInContainer = verb(async () => (await import("./container/run-exec.ts")).runExec, EXEC_FAILED);

const EXEC_COMMAND: Command = {
  name: "exec",
  aliases: [],
  summary: "run a further process in a container, or in a guest itself",
  description: `Runs a process in a container: a command, or the process of a file.

Without a command, or with one behind "--", ID is a sandbox's, and the shell or command runs in its guest, beside the containers. That guest
has to have a debug console: debug_console_enabled in the configuration, and an image that was built with --debug-shell. The exit status is
the command's; 125, 126 or 127 if it could not be run.`,
  flags: [
    DEBUG_PORT,
    CONSOLE,
    { names: ["--cwd"], value: "DIRECTORY", doc: "working directory in the container" },
    { names: ["--env", "-e"], value: "NAME=VALUE", repeats: true, doc: "add to its environment" },
    { names: ["--tty", "-t"], doc: "give it a terminal" },
    { names: ["--user", "-u"], value: "UID[:GID]", doc: "run as this user" },
    { names: ["--additional-gids", "-g"], value: "GID", repeats: true, doc: "add to its groups" },
    { names: ["--process", "-p"], value: "FILE", doc: "run the process of this JSON file" },
    { names: ["--detach", "-d"], doc: "come back once it runs" },
    PID_FILE,
    { names: ["--process-label"], value: "LABEL", doc: "SELinux label" },
    { names: ["--apparmor"], value: "PROFILE", doc: "AppArmor profile" },
    { names: ["--no-new-privs"], doc: "no more privileges by execve" },
    { names: ["--cap", "-c"], value: "CAPABILITY", repeats: true, doc: "add to its capabilities" },
    PRESERVE,
    { names: ["--cgroup"], value: "PATH", doc: "accepted: the container's own is used" },
    { names: ["--ignore-paused"], doc: "accepted: a paused container refuses" },
  ],
  operands: { shown: "ID [[--] COMMAND...]", min: 1, max: Number.POSITIVE_INFINITY },
  flagsFirst: true,
  examples: [
    ["exec -t web sh", "a shell in the container web"],
    ["exec 3f2a", "a shell in the guest of a sandbox"],
    ["exec 3f2a -- dmesg", "a command there"],
  ],
  run: async (context) =>
    isGuestExec(context)
      ? (await import("./guest/run-guest-exec.ts")).runGuestExec(context)
      : execInContainer(context),
};

const processesOfContainer = verb(async () => (await import("./container/run-queries.ts")).runPs);

const PS_COMMAND: Command = {
  name: "ps",
  aliases: [],
  summary: "show the sandboxes of this host, or the processes of a container",
  description: `Shows the sandboxes of this host, whoever started them. With the ID of a container of this program, it shows the pids of that container's
processes.`,
  flags: [...SANDBOX_LIST_FLAGS, FORMAT],
  operands: { shown: "[ID [OPTION...]]", min: 0, max: Number.POSITIVE_INFINITY },
  flagsFirst: true,
  examples: [
    ["ps", "all sandboxes"],
    ["ps --format json web", "pids of a container as a list of numbers"],
  ],
  run: async (context) =>
    context.operands.length === 0
      ? (await import("./sandboxes/run-ps.ts")).runPs(context)
      : processesOfContainer(context),
};

const PAUSE_COMMAND: Command = {
  name: "pause",
  aliases: [],
  summary: "stop all processes of a container for a while",
  description: "Suspends all processes of a container.",
  flags: [],
  operands: ID,
  flagsFirst: true,
  examples: [["pause web", "hold web"]],
  run: verb(async () => (await import("./container/run-life-cycle.ts")).runPause),
};

const RESUME_COMMAND: Command = {
  name: "resume",
  aliases: [],
  summary: "let a paused container go on",
  description: "Resumes the processes of a paused container.",
  flags: [],
  operands: ID,
  flagsFirst: true,
  examples: [["resume web", "go on"]],
  run: verb(async () => (await import("./container/run-life-cycle.ts")).runResume),
};

const limit = (name: string, doc: string, value = "NUMBER"): Flag => ({ names: [`--${name}`], value, doc });

const UPDATE_COMMAND: Command = {
  name: "update",
  aliases: [],
  summary: "change the limits of a container",
  description: "Changes limits of a running container.",
  flags: [
    { names: ["--resources", "-r"], value: "FILE", doc: "limits as JSON; - for standard input" },
    limit("blkio-weight", "weight of block I/O"),
    limit("cpu-period", "period of the CPU quota, µs"),
    limit("cpu-quota", "CPU time in a period, µs"),
    limit("cpu-burst", "CPU time saved up, µs"),
    limit("cpu-share", "share of CPU time"),
    limit("cpu-rt-period", "real-time period, µs"),
    limit("cpu-rt-runtime", "real-time CPU time in a period, µs"),
    limit("cpuset-cpus", "CPUs", "LIST"),
    limit("cpuset-mems", "memory nodes", "LIST"),
    limit("cpu-idle", "1 for idle time only"),
    limit("memory", "memory", "BYTES"),
    limit("memory-reservation", "memory kept when it is short", "BYTES"),
    limit("memory-swap", "memory and swap together, -1 for no limit", "BYTES"),
    limit("pids-limit", "number of processes"),
    limit("l3-cache-schema", "refused: the host's", "TEXT"),
    limit("mem-bw-schema", "refused: the host's", "TEXT"),
  ],
  operands: ID,
  flagsFirst: true,
  examples: [["update --memory 256m web", "less memory for web"]],
  run: verb(async () => (await import("./container/run-update.ts")).runUpdate),
};

const EVENTS_COMMAND: Command = {
  name: "events",
  aliases: [],
  summary: "show statistics of a container as JSON lines",
  description: "Writes a container's statistics as JSON lines until it ends.",
  flags: [
    { names: ["--interval"], value: "DURATION", doc: "between two lines (default 5s)" },
    { names: ["--stats"], doc: "once" },
    ALWAYS_JSON,
  ],
  operands: ID,
  flagsFirst: true,
  examples: [["events --stats web", "what web uses"]],
  run: verb(async () => (await import("./container/run-events.ts")).runEvents),
};

const LIST_COMMAND: Command = {
  name: "list",
  aliases: [],
  summary: "list containers",
  description: "Lists the containers below --root.",
  flags: [FORMAT, JSON_FLAG, { names: ["--quiet", "-q"], doc: "ids only" }],
  examples: [["list", "those of this program"]],
  run: verb(async () => (await import("./container/run-queries.ts")).runList),
};

const SPEC_COMMAND: Command = {
  name: "spec",
  aliases: [],
  summary: "write a config.json to begin with",
  description: "Writes a specification with a shell in the directory rootfs of the bundle.",
  flags: [BUNDLE, { names: ["--rootless"], doc: "accepted: machines are root's" }],
  examples: [["spec --bundle /tmp/web", "then edit /tmp/web/config.json"]],
  run: verb(async () => (await import("./container/run-queries.ts")).runSpec),
};

const FEATURES_COMMAND: Command = {
  name: "features",
  aliases: [],
  summary: "show what of the OCI specification works, as JSON",
  description: "Shows as JSON what of the OCI runtime specification this runtime does.",
  flags: [ALWAYS_JSON],
  examples: [["features", "for engines"]],
  run: verb(async () => (await import("./container/run-features.ts")).runFeatures),
};

/** In the order of the help. */
export const CONTAINER_COMMANDS: readonly Command[] = [
  CREATE_COMMAND,
  START_COMMAND,
  RUN_COMMAND,
  STATE_COMMAND,
  KILL_COMMAND,
  DELETE_COMMAND,
  EXEC_COMMAND,
  PS_COMMAND,
  PAUSE_COMMAND,
  RESUME_COMMAND,
  UPDATE_COMMAND,
  EVENTS_COMMAND,
  LIST_COMMAND,
  SPEC_COMMAND,
  FEATURES_COMMAND,
];
