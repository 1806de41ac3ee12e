/** containerd's services, played by a server of our own on a unix socket. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { imageBlobs } from "../testing/image-layout.ts";
import { Containerd } from "./containerd.ts";
import { DockerCredentials } from "./credentials.ts";
import { decodeFields, encodeFields } from "./grpc-client.ts";
import { parseReference } from "./reference.ts";

let directory = "";
let server: Http2Server | undefined;
const sessions: ServerHttp2Session[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "genpolicy-"));
});
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
  server = undefined;
  await rm(directory, { recursive: true });
});

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

type Answer = readonly Uint8Array[] | "not-found" | "failed";

/** Listens; `answer` gives the messages that come back for a method and a message. */
async function serve(
  answer: (method: string, fields: Map<number, Uint8Array>, namespace: string) => Answer,
): Promise<string> {
  const path = join(directory, "s.sock");
  server = createServer();
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const chunks: Uint8Array[] = [];
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("end", () => {
      const fields = decodeFields(Buffer.concat(chunks).subarray(5));
      const messages = answer(String(headers[":path"]), fields, String(headers["containerd-namespace"]));
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      const status = messages === "not-found" ? "5" : messages === "failed" ? "13" : "0";
      stream.on("wantTrailers", () =>
        stream.sendTrailers({ "grpc-status": status, "grpc-message": "no%20luck" }),
      );
      for (const message of typeof messages === "string" ? [] : messages) {
        const header = Buffer.alloc(5);
        header.writeUInt32BE(message.length, 1);
        stream.write(Buffer.concat([header, message]));
      }
      stream.end();
    });
  });
  await new Promise<void>((resolve) => server?.listen(path, resolve));
  return path;
}

const { blobs, manifests } = imageBlobs([{ name: "app", cmd: ["run"], layers: [{ a: "1" }] }]);

/** A store with one image, which is there from the beginning or once it is pulled. */
async function store(isPulled: boolean, calls: string[]) {
  let isThere = isPulled;
  return serve((method, fields, namespace) => {
    calls.push(`${method} ${namespace}`);
    if (method.endsWith("/PullImage")) {
      expect(text(decodeFields(fields.get(1) ?? new Uint8Array()).get(1))).toBe("example.com/app:1");
      isThere = true;
      return [new Uint8Array()];
    }
    if (method.endsWith("/Get")) {
      if (!isThere || text(fields.get(1)) !== "example.com/app:1") return "not-found";
      const target = encodeFields({ 1: "x", 2: manifests[0]?.digest ?? "" });
      return [encodeFields({ 1: encodeFields({ 1: "example.com/app:1", 3: target }) })];
    }
    const blob = blobs.get(text(fields.get(1)));
    // In two pieces, as large ones come.
    return blob
      ? [encodeFields({ 2: blob.subarray(0, 9) }), encodeFields({ 2: blob.subarray(9) })]
      : "not-found";
  });
}

describe("containerd", () => {
  test.each([true, false])("gives an image that it has or pulls (%s)", async (isPulled) => {
    const calls: string[] = [];
    const containerd = new Containerd(await store(isPulled, calls));
    const found = await containerd.find(parseReference("example.com/app:1"));
    expect(JSON.parse(found?.config ?? "").config).toEqual({ Cmd: ["run"] });
    const [layer] = found?.manifest.layers ?? [];
    if (found === undefined || layer === undefined) throw new Error("no layer");
    expect(await found.blob(layer)).toEqual(Buffer.from(blobs.get(layer.digest) ?? []));
    expect(calls.includes("/runtime.v1.ImageService/PullImage undefined")).toBe(!isPulled);
    expect(calls[0]).toBe("/containerd.services.images.v1.Images/Get k8s.io");
    containerd.close();
  });

  test("that fails is named with its reason", async () => {
    const path = await serve(() => "failed");
    const containerd = new Containerd(path);
    await expect(containerd.find(parseReference("a"))).rejects.toMatchObject({
      code: "grpc-failed",
      object: path,
      hint: "status 13: no luck",
    });
    containerd.close();
  });

  test("that is not there is named", async () => {
    const containerd = new Containerd(join(directory, "none.sock"));
    await expect(containerd.find(parseReference("a"))).rejects.toMatchObject({ code: "grpc-unavailable" });
    containerd.close();
  });
});

describe("passwords of docker login", () => {
  const find = async (config: object, registry: string) => {
    await writeFile(join(directory, "config.json"), JSON.stringify(config));
    return new DockerCredentials(directory).find(registry);
  };
  const auth = Buffer.from("me:a:b").toString("base64");

  test.each([
    [{ auths: { "example.com": { auth } } }, "example.com", { user: "me", password: "a:b" }],
    [
      { auths: { "https://example.com": { username: "u", password: "p" } } },
      "example.com",
      { user: "u", password: "p" },
    ],
    [{ auths: { "https://index.docker.io/v1/": { auth } } }, "docker.io", { user: "me", password: "a:b" }],
    [{ auths: { "example.com": {} } }, "example.com", undefined],
    [{}, "example.com", undefined],
  ])("in %j are found for %s", async (config, registry, expected) => {
    expect(await find(config, registry)).toEqual(expected);
  });

  test("may be missing altogether", async () => {
    expect(await new DockerCredentials(directory).find("example.com")).toBeUndefined();
  });

  test("kept by a program that is not there are an error", async () => {
    await expect(find({ credsStore: "no-such-helper" }, "example.com")).rejects.toMatchObject({
      code: "missing-program",
    });
  });
});
