/**
 * What a service and systemd tell each other: that it serves, which sockets it is given, and which descriptors are kept for it while it
 * is restarted.
 * Sources: sd_notify(3), sd_listen_fds(3), sd_pid_notify_with_fds(3), systemd.service(5) `FileDescriptorStoreMax=`.
 */
import { FileDescriptor } from "../../sys/descriptor.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { closeOnExecFrom } from "../../sys/process.ts";
import { connectDatagrams, sendWithDescriptors } from "../../sys/socket.ts";
import { utf8Encode } from "../../sys/utf8.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface NamedDescriptor {
  readonly name: string;
  readonly descriptor: FileDescriptor;
}

const FIRST_DESCRIPTOR = 3;
/** More than systemd keeps for a service; a larger number is none of its. */
const MOST_DESCRIPTORS = 16_384;

/** The descriptors that this process was started with, in order; none if another process was meant. Each call makes them anew. */
export function descriptorsOfManager(environment: Environment, ownPid: number): NamedDescriptor[] {
  const { LISTEN_PID, LISTEN_FDS = "", LISTEN_FDNAMES = "" } = environment;
  const count = /^\d{1,5}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : 0;
  if (LISTEN_PID !== String(ownPid) || count === 0 || count > MOST_DESCRIPTORS) return [];
  // Not for the programs that this one starts.
  closeOnExecFrom(FIRST_DESCRIPTOR);
  const names = LISTEN_FDNAMES.split(":");
  return Array.from({ length: count }, (_, index) => ({
    name: names[index] ?? "",
    descriptor: new FileDescriptor(FIRST_DESCRIPTOR + index),
  }));
}

/** The manager of this service. */
export class ServiceManager {
  readonly #stream: FdStream;

  private constructor(stream: FdStream) {
    this.#stream = stream;
  }

  /** @returns undefined if no manager wants to be told. @throws KataError `system-call` if it cannot be reached. */
  static of({ NOTIFY_SOCKET = "" }: Environment): ServiceManager | undefined {
    if (NOTIFY_SOCKET === "") return undefined;
    return new ServiceManager(
      connectDatagrams(
        NOTIFY_SOCKET.startsWith("@")
          ? { kind: "abstract", name: NOTIFY_SOCKET.slice(1) }
          : { kind: "unix", path: NOTIFY_SOCKET },
      ),
    );
  }

  async ready(): Promise<void> {
    await this.#stream.write(utf8Encode("READY=1"));
  }

  /** Has the manager keep a copy, which it gives to this service when that is started again, by that name. */
  async keep(name: string, descriptor: number): Promise<void> {
    await sendWithDescriptors(this.#stream, utf8Encode(`FDSTORE=1\nFDNAME=${name}`), [descriptor]);
  }

  /** Has the manager close its copy. Messages are acted on in their order. */
  async forget(name: string): Promise<void> {
    await this.#stream.write(utf8Encode(`FDSTOREREMOVE=1\nFDNAME=${name}`));
  }

  close(): void {
    this.#stream.close();
  }
}
