/** Signals to the process on the host are meant for the one in the guest, and so is a new size of its terminal. */
import { describeError } from "../../kata-error.ts";
import { listenForSignals, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGWINCH } from "../../sys/process.ts";
import { getWindowSize } from "../../sys/terminal.ts";
import { CALL, type TaskConnection } from "./task-connection.ts";

const SIGUSR2 = 12;
const SIGCONT = 18;
const FORWARDED = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT];

export interface ForwardTarget {
  readonly connection: TaskConnection;
  readonly id: string;
  readonly execId: string;
  /** The terminal whose size is the guest's; undefined if there is none. */
  readonly terminal: number | undefined;
  /** Told of what could not be passed on. */
  readonly onFailure: (message: string) => void;
}

/** Forwards until the result is disposed of. */
export function forwardSignals(target: ForwardTarget): Disposable {
  const { connection, id, execId, terminal, onFailure } = target;
  const failed = (error: unknown) => onFailure(describeError(error));
  return listenForSignals([...FORWARDED, SIGWINCH], (signal) => {
    if (signal === SIGWINCH) {
      if (terminal !== undefined) passSize(target).catch(failed);
    } else {
      connection.calls.kill({ id, execId, signal }, CALL).catch(failed);
    }
  });
}

/** Tells the guest the size of the terminal. A terminal of no size, as before its user has come, is passed over. */
export async function passSize({ connection, id, execId, terminal }: ForwardTarget): Promise<void> {
  if (terminal === undefined) return;
  const { rows, columns } = getWindowSize(terminal);
  if (rows === 0 || columns === 0) return;
  await connection.calls.resizePty({ id, execId, width: columns, height: rows }, CALL);
}
