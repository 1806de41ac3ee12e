/** `kata-runtime` with a sandbox of upstream's runtime: its shim tells where the agent is, and its agent has a console on a port. */
import { encodeResponse, parseRequest, readHttpMessage } from "../../rpc/http/http-message.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { setNonBlocking } from "../../sys/fd-stream.ts";
import { mkdirAll, removeTree, writeFile } from "../../sys/files.ts";
import { getpid, SIGKILL } from "../../sys/process.ts";
import { accept, listen } from "../../sys/socket.ts";
import { spawn } from "../../sys/spawn.ts";
import { assert, assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { runKataRuntime } from "../testing/run-kata-runtime.ts";

const ID = `kata-test-upstream-${getpid()}`;
const STATE = `/run/vc/sbs/${ID}`;
const VSOCK = `/tmp/${ID}.hvsock`;
const SHELL_PORT = 1026;

async function serveAll(
  socket: FileDescriptor,
  attend: (stream: Awaited<ReturnType<typeof accept>>) => Promise<void>,
) {
  while (socket.isOpen) {
    try {
      const stream = await accept(socket);
      attend(stream).finally(() => stream.close());
    } catch (error) {
      if (socket.isOpen) throw error;
    }
  }
}

/** Go's server knows no other path. */
async function answer(stream: Awaited<ReturnType<typeof accept>>): Promise<void> {
  const { path } = parseRequest(await readHttpMessage(stream, false));
  const known = path === "/agent-url";
  const body = utf8Encode(known ? `hvsock://${VSOCK}:1024` : "404 page not found\n");
  await stream.write(encodeResponse({ status: known ? 200 : 404, contentType: "text/plain", body }));
}

/** What the monitor and the agent behind it do: a port, and a shell on it. */
async function console(stream: Awaited<ReturnType<typeof accept>>): Promise<void> {
  const wanted = `CONNECT ${SHELL_PORT}\n`;
  const line = new Uint8Array(wanted.length);
  for (let at = 0; at < line.length; ) {
    const count = await stream.read(line.subarray(at));
    if (count === 0) return;
    at += count;
  }
  if (utf8Decode(line) !== wanted) return;
  await stream.write(utf8Encode("OK 1073741824\n"));
  setNonBlocking(stream.fd, false);
  const shell = await spawn({
    path: "/bin/sh",
    args: ["sh"],
    environment: ["PATH=/usr/bin:/bin"],
    descriptors: [stream.fd, stream.fd, stream.fd],
    parentDeathSignal: SIGKILL,
  });
  await shell.exited;
}

async function withUpstream(body: () => Promise<void>): Promise<void> {
  mkdirAll(STATE, 0o700);
  const [shim, guest] = [
    listen({ kind: "unix", path: `${STATE}/shim-monitor.sock` }),
    listen({ kind: "unix", path: VSOCK }),
  ];
  try {
    writeFile(
      `${STATE}/persist.json`,
      JSON.stringify({
        State: "running",
        SandboxContainer: ID,
        HypervisorState: { Type: "clh", Pid: getpid() },
      }),
    );
    void serveAll(shim, answer);
    void serveAll(guest, console);
    await body();
  } finally {
    for (const socket of [shim, guest]) {
      const { fd } = socket;
      socket.close();
      loop.forget(fd);
    }
    removeTree(STATE);
    removeTree(VSOCK);
  }
}

test("a sandbox of upstream's is shown with what its shim and its state tell", async () => {
  await withUpstream(async () => {
    const { stdout } = await runKataRuntime(["ps", "--json"]);
    const found = (JSON.parse(stdout) as { id: string }[]).find(({ id }) => id === ID);
    assertEqual<object | undefined>(found, {
      id: ID,
      state: "running",
      name: "",
      namespace: "",
      uid: "",
      hypervisor: "clh",
      startedAt: 0,
      vcpus: 0,
      memoryMib: 0,
      agentUrl: "",
      shimPid: 0,
      shimVersion: "",
      processes: [{ name: "clh", pid: getpid() }],
      containers: [{ id: ID, bundle: "", state: "" }],
    });
    const inspected = JSON.parse((await runKataRuntime(["inspect", ID.slice(0, -1)])).stdout);
    assertEqual(inspected[0].persist.State, "running");
    const logs = await runKataRuntime(["logs", ID]);
    assertEqual(logs.status, 1);
    assert(logs.stderr.includes("the pod's shim does not know that"), logs.stderr);
  });
});

test("exec runs commands on the debug console of upstream's agent, with their exit status", async () => {
  await withUpstream(async () => {
    assertEqual(await runKataRuntime(["exec", ID, "--", "sh", "-c", "echo it; echo err >&2; exit 4"]), {
      status: 4,
      stdout: "it\nerr\n",
      stderr: "",
    });
    assertEqual(
      (await runKataRuntime(["exec", "-p", "1026", ID, "--", "true"], { name: "kata-ctl" })).status,
      0,
    );
    const refused = await runKataRuntime(["exec", "--kata-debug-port", "1027", ID, "--", "true"]);
    assertEqual(refused.status, 125);
    assert(refused.stderr.includes("set debug_console_enabled = true"), refused.stderr);
  });
});

runTests();
