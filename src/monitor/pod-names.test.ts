import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Http2Server } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeListPodSandboxResponse } from "../../build/generated/cri.ts";
import { PodNames } from "./pod-names.ts";

let directory = "";
let server: Http2Server | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-pod-names-"));
});
afterEach(() => {
  server?.close();
  server = undefined;
  rmSync(directory, { recursive: true });
});

/** A container manager that knows one pod. @returns its socket, and what it was asked. */
async function startManager(): Promise<{ readonly socket: string; readonly asked: string[] }> {
  const socket = join(directory, "cri.sock");
  const asked: string[] = [];
  const message = encodeListPodSandboxResponse({
    items: [{ id: "pod1", metadata: { name: "web", uid: "u-1", namespace: "default" } }],
  });
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  const made = createServer();
  made.on("stream", (stream, headers) => {
    asked.push(String(headers[":path"]));
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(frame);
  });
  await new Promise<void>((resolve) => made.listen(socket, resolve));
  server = made;
  return { socket, asked };
}

describe("PodNames", () => {
  test("asks the container manager, and again only for an unknown pod and after a while", async () => {
    const { socket, asked } = await startManager();
    let now = 0;
    const names = new PodNames(
      socket,
      () => undefined,
      () => now,
    );
    expect((await names.of(["pod1"])).get("pod1")).toEqual({ uid: "u-1", name: "web", namespace: "default" });
    await names.of(["pod1"]);
    await names.of(["pod1", "other"]);
    expect(asked).toEqual(["/runtime.v1.RuntimeService/ListPodSandbox"]);
    now = 5000;
    await names.of(["pod1", "other"]);
    expect(asked).toHaveLength(2);
  });

  test("goes on with what it knows where nobody answers, and says why", async () => {
    const failures: string[] = [];
    const names = new PodNames(join(directory, "nobody.sock"), (reason) => failures.push(reason));
    expect(await names.of(["pod1"])).toEqual(new Map());
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatch(/ENOENT/);
  });
});
