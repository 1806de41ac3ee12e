import { hasCode } from "../kata-error.ts";
import { exists, mkdirAll, removeTree, stat } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assertEqual, assertThrows, runTests, test } from "../sys/testing/native-test.ts";
import { answers, listenAt } from "./listen-socket.ts";

let directories = 0;

function temporaryDirectory(): { readonly path: string } & Disposable {
  const path = `/tmp/kata-shim-socket.${getpid()}.${directories++}`;
  mkdirAll(path);
  return { path, [Symbol.dispose]: () => removeTree(path) };
}

const permissions = (path: string) => stat(path).mode & 0o7777;

test("listenAt() makes a socket and its directory that only the owner can use", async () => {
  using place = temporaryDirectory();
  const path = `${place.path}/containerd/s/abc`;
  using _socket = await listenAt(path);
  assertEqual(permissions(path), 0o600);
  assertEqual(permissions(`${place.path}/containerd/s`), 0o700);
  assertEqual(permissions(`${place.path}/containerd`), 0o711);
  assertEqual(await answers(path), true);
});

test("listenAt() takes the place of a socket that nobody answers at", async () => {
  using place = temporaryDirectory();
  const path = `${place.path}/s`;
  (await listenAt(path)).close();
  assertEqual(exists(path), true);
  assertEqual(await answers(path), false);
  using _socket = await listenAt(path);
  assertEqual(await answers(path), true);
});

test("listenAt() refuses where another shim answers, whose socket stays", async () => {
  using place = temporaryDirectory();
  const path = `${place.path}/s`;
  using _socket = await listenAt(path);
  await assertThrows(
    () => listenAt(path),
    (error) => hasCode(error, "already-exists"),
    "already-exists",
  );
  assertEqual(await answers(path), true);
});

test("answers() is false where there is nothing", async () => {
  assertEqual(await answers("/nonexistent/socket"), false);
});

runTests();
