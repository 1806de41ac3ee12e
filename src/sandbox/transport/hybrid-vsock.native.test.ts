import { hasCode, hasErrno } from "../../kata-error.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { mkdirAll, removeTree, symlink } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { accept, listen } from "../../sys/socket.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { connectHybridVsock } from "./hybrid-vsock.ts";

const PLACE = `/tmp/kata-hybrid-vsock.${getpid()}`;

test("connectHybridVsock() asks the monitor's socket for a port, and is not led to another socket by a link", async () => {
  mkdirAll(PLACE, 0o700);
  try {
    const { signal } = new CancelSource();
    using listener = listen({ kind: "unix", path: `${PLACE}/clh.sock` });
    const answering = accept(listener).then(async (client) => {
      const line = new Uint8Array(32);
      const asked = utf8Decode(line.subarray(0, await client.read(line)));
      await client.write(utf8Encode("OK 1073741824\n"));
      client.close();
      return asked;
    });
    (await connectHybridVsock(`${PLACE}/clh.sock`, 1024, signal)).close();
    assertEqual(await answering, "CONNECT 1024\n");
    symlink(`${PLACE}/clh.sock`, `${PLACE}/link.sock`);
    await assertThrows(
      () => connectHybridVsock(`${PLACE}/link.sock`, 1024, signal),
      (error) => hasCode(error, "failed-precondition"),
      "a link",
    );
    await assertThrows(
      () => connectHybridVsock(`${PLACE}/none.sock`, 1024, signal),
      (error) => hasErrno(error, "ENOENT"),
      "no socket yet, which is tried again",
    );
  } finally {
    removeTree(PLACE);
  }
});

runTests();
