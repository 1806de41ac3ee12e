/** Standard input, as it is: it may be shared with the shell that started this program, so its flags stay as they are. */
import { hasErrno } from "../../kata-error.ts";
import { loop } from "../../sys/event-loop.ts";
import { read } from "../../sys/files.ts";

const STDIN = 0;

/** The next bytes; 0 at the end. What can be waited for is waited for in the loop; a file has its bytes at once. */
export async function readStandardInput(into: Uint8Array): Promise<number> {
  try {
    await loop.readable(STDIN);
  } catch (error) {
    // epoll_ctl(2): an ordinary file, or /dev/null.
    if (!hasErrno(error, "EPERM")) throw error;
  }
  return read(STDIN, into);
}
