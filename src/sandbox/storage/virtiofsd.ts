/**
 * The file server of the shared directory.
 *
 * There are two programs of this name: QEMU's own in C (up to 7.2) and the Rust one, whose options differ. Both listen on a
 * socket that they inherit, so that nothing is polled for. Where the monitor takes one, the connection to it is made here and
 * handed over, and no socket stays in the file system.
 * Sources: virtiofsd(1) of QEMU 7.2; README of gitlab.com/virtio-fs/virtiofsd.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { type Clock, withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { FdStream, setNonBlocking } from "../../sys/fd-stream.ts";
import { chown, unlinkIfExists } from "../../sys/files.ts";
import { pipe } from "../../sys/pipe.ts";
import { duplicate, SIGKILL } from "../../sys/process.ts";
import { Rollback } from "../../sys/rollback.ts";
import { connect, listen } from "../../sys/socket.ts";
import { spawn } from "../../sys/spawn.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { enterHelperNamespaces } from "../hypervisor/helper-confinement.ts";
import type { MonitorUser } from "../hypervisor/monitor-user.ts";
import { SupervisedProgram } from "../hypervisor/supervised-program.ts";
import type { FileServerSocket } from "../hypervisor/types.ts";
import type { Logger } from "../types.ts";
import type { SharedDirectory } from "./shared-directory.ts";

export interface VirtiofsdRequest {
  readonly program: string;
  readonly share: SharedDirectory;
  /** `never`, `metadata`, `auto` or `always`. */
  readonly cache: string;
  /** From the operator's configuration, in the Rust program's spelling. */
  readonly extraArguments: readonly string[];
  readonly debug: boolean;
  /** How the monitor reaches it. */
  readonly socket: FileServerSocket["kind"];
  /** Who the monitor is, if it is not root. */
  readonly monitorUser?: MonitorUser | undefined;
  readonly cgroups: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface FileServer {
  readonly program: SupervisedProgram;
  /** For the virtual machine. */
  readonly socket: FileServerSocket;
  /** Closes or removes the socket: the machine has it by then, or never will. Any number of calls. */
  release(): void;
}

export type VirtiofsdKind = "c" | "rust";

const LISTEN_FD = 3;
/** In the directory of the monitor's user. */
const SOCKET_NAME = "vhost-fs.sock";
const VERSION_DEADLINE_MS = 5000;
const HINT = "set virtio_fs_daemon of [hypervisor.qemu] in configuration.toml to the virtiofsd program";

/** Starts the server. @throws KataError that names the configuration key, if there is no such program. */
export async function startVirtiofsd(request: VirtiofsdRequest): Promise<FileServer> {
  const { share, clock, logger } = request;
  const kind = await identify(request.program, clock);
  const undo = new Rollback();
  try {
    const client = request.socket === "listening" ? request.monitorUser : undefined;
    const path = client === undefined ? share.paths.fileServerSocket : `${client.directory}/${SOCKET_NAME}`;
    using listener = listen({ kind: "unix", path });
    undo.add("socket file", () => void unlinkIfExists(path));
    // Who connects has to be able to write to it.
    if (client !== undefined) chown(path, client.uid, client.gid);
    const connection = request.socket === "connected" ? await connectOnce(path) : undefined;
    undo.add("connection", () => connection?.close());
    // The server waits in accept(2).
    setNonBlocking(listener.fd, false);
    const program = await SupervisedProgram.start({
      name: "virtiofsd",
      configurationKey: "virtio_fs_daemon of [hypervisor.qemu]",
      path: request.program,
      args: virtiofsdArguments(kind, request),
      inherited: [listener.fd],
      environment: ["LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
      prepare: () => {
        enterHelperNamespaces({ cgroups: request.cgroups, networkNamespace: undefined });
        share.room.enter();
      },
      onOutput: (line) => logger.debug("virtiofsd", { output: line }),
      clock,
    });
    undo.keep();
    if (connection === undefined) {
      return { program, socket: { kind: "listening", path }, release: () => void unlinkIfExists(path) };
    }
    const socket = { kind: "connected", descriptor: connection.fd } as const;
    return { program, socket, release: () => connection.close() };
  } catch (error) {
    await undo.run();
    throw error;
  }
}

/** The only connection to the socket at `path`, which is no more in the file system then. */
async function connectOnce(path: string): Promise<FileDescriptor> {
  const stream = await connect({ kind: "unix", path });
  try {
    unlinkIfExists(path);
    return duplicate(stream.fd);
  } finally {
    stream.close();
  }
}

/** The arguments without the program's name. */
export function virtiofsdArguments(
  kind: VirtiofsdKind,
  request: Pick<VirtiofsdRequest, "cache" | "extraArguments" | "debug"> & {
    readonly share: { readonly paths: { readonly exported: string } };
  },
): string[] {
  const source = request.share.paths.exported;
  if (kind === "rust") {
    return [
      `--fd=${LISTEN_FD}`,
      `--shared-dir=${source}`,
      `--cache=${request.cache}`,
      "--sandbox=namespace",
      `--log-level=${request.debug ? "debug" : "error"}`,
      ...request.extraArguments,
    ];
  }
  return [
    `--fd=${LISTEN_FD}`,
    ...["-o", `source=${source}`],
    ...["-o", `cache=${request.cache === "never" ? "none" : request.cache}`],
    ...["-o", "sandbox=namespace"],
    ...["-o", `log_level=${request.debug ? "debug" : "err"}`],
    ...request.extraArguments.flatMap(inC),
  ];
}

/** Options of the Rust program that the C one has under another name. */
const C_NAMES: Readonly<Record<string, string>> = {
  "--announce-submounts": "announce_submounts",
  "--xattr": "xattr",
  "--posix-acl": "posix_acl",
  "--security-label": "security_label",
  "--writeback": "writeback",
  "--allow-direct-io": "allow_direct_io",
};

function inC(argument: string): string[] {
  // What it does anyway.
  if (argument === "--no-announce-submounts") return [];
  const name = Object.hasOwn(C_NAMES, argument) ? C_NAMES[argument] : undefined;
  return name === undefined ? [argument] : ["-o", name];
}

/** Which of the two programs it is, by the text of `--version`. */
async function identify(program: string, clock: Clock): Promise<VirtiofsdKind> {
  using output = pipe();
  let child: Awaited<ReturnType<typeof spawn>>;
  try {
    child = await spawn({
      path: program,
      args: [program, "--version"],
      environment: ["LANG=C"],
      descriptors: ["null", output.writer.fd, output.writer.fd],
      parentDeathSignal: SIGKILL,
    });
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "EACCES", "ENOEXEC", "ENOTDIR")) throw error;
    const details = {
      operation: "start virtiofsd",
      object: program,
      errno: error.errno,
      hint: HINT,
      cause: error,
    };
    throw new KataError("invalid-configuration", details);
  }
  output.writer.close();
  const reader = new FdStream(new FileDescriptor(output.reader.release()));
  try {
    const bytes = new Uint8Array(4096);
    const what = { operation: "ask version of virtiofsd", object: program };
    const count = await withDeadline(clock, VERSION_DEADLINE_MS, what, reader.read(bytes));
    const text = utf8Decode(bytes.subarray(0, count));
    if (/^virtiofsd (version \d|.*QEMU)/.test(text)) return "c";
    if (/virtiofsd/.test(text)) return "rust";
    throw new KataError("invalid-configuration", {
      operation: "start virtiofsd",
      object: `${program} is another program`,
      hint: HINT,
    });
  } finally {
    reader.close();
    child.kill(SIGKILL);
    await child.exited;
  }
}
