/** The registry client against a registry of our own, over HTTP. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { imageBlobs, type TestImage } from "../testing/image-layout.ts";
import { parseReference } from "./reference.ts";
import { Registry, type RegistryOptions } from "./registry.ts";

const IMAGE: TestImage = {
  name: "app",
  entrypoint: ["/app"],
  layers: [{ "etc/passwd": "root:x:0:0::/:/bin/sh\n" }],
};
const TOKEN = "secret-token";

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

interface Behaviour {
  readonly auth?: "basic" | "bearer";
  readonly spoilt?: boolean;
  readonly asIndex?: boolean;
}

/** Serves {@link IMAGE} as `team/app:1`; answers with its address and what it was asked for. */
async function registry(behaviour: Behaviour = {}) {
  const { blobs, manifests } = imageBlobs([IMAGE]);
  const [manifest] = manifests;
  const asked: string[] = [];
  const index = {
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        mediaType: "x",
        digest: `sha256:${"0".repeat(64)}`,
        size: 1,
        platform: { os: "linux", architecture: "other" },
      },
      { mediaType: "x", digest: manifest?.digest, size: 1 },
    ],
  };
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const url = request.url ?? "";
    asked.push(`${url}${request.headers.authorization ? " with authorization" : ""}`);
    if (url.startsWith("/token")) {
      const isUser = request.headers.authorization === `Basic ${Buffer.from("me:word").toString("base64")}`;
      response.writeHead(isUser ? 200 : 401).end(JSON.stringify({ token: TOKEN }));
      return;
    }
    const wanted =
      behaviour.auth === "basic" ? `Basic ${Buffer.from("me:word").toString("base64")}` : `Bearer ${TOKEN}`;
    if (behaviour.auth && request.headers.authorization !== wanted) {
      const challenge =
        behaviour.auth === "basic"
          ? 'Basic realm="x"'
          : `Bearer realm="http://${request.headers.host}/token",service="s",scope="repository:team/app:pull"`;
      response.writeHead(401, { "www-authenticate": challenge }).end();
      return;
    }
    if (url === "/v2/team/app/manifests/1") {
      const body = behaviour.asIndex ? JSON.stringify(index) : blobs.get(manifest?.digest ?? "");
      response.writeHead(200).end(body);
      return;
    }
    const [, digest = ""] = /^\/v2\/team\/app\/(?:blobs|manifests)\/(.*)$/.exec(url) ?? [];
    const blob = blobs.get(digest);
    if (blob === undefined) response.writeHead(404).end();
    else response.writeHead(200).end(behaviour.spoilt ? Buffer.concat([blob, Buffer.from("x")]) : blob);
  };
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function client(host: string, options: Partial<RegistryOptions> = {}): Registry {
  return new Registry({
    credentials: { find: async () => ({ user: "me", password: "word" }) },
    insecure: [host],
    mirrors: new Map(),
    fetch,
    ...options,
  });
}

describe("a registry", () => {
  test.each<[string, Behaviour]>([
    ["without authentication", {}],
    ["with a password", { auth: "basic" }],
    ["with tokens", { auth: "bearer" }],
    ["with an index of platforms", { asIndex: true }],
  ])("%s gives an image's configuration and layers", async (_name, behaviour) => {
    const { host } = await registry(behaviour);
    const found = await client(host).find(parseReference(`${host}/team/app:1`));
    expect(JSON.parse(found?.config ?? "").config).toEqual({ Entrypoint: ["/app"] });
    const [layer] = found?.manifest.layers ?? [];
    if (layer === undefined || found === undefined) throw new Error("no layer");
    expect((await found.blob(layer)).length).toBe(layer.size);
  });

  test("is asked for a token once for a repository", async () => {
    const { host, asked } = await registry({ auth: "bearer" });
    await client(host).find(parseReference(`${host}/team/app:1`));
    expect(asked.filter((url) => url.startsWith("/token"))).toEqual([
      "/token?service=s&scope=repository%3Ateam%2Fapp%3Apull with authorization",
    ]);
  });

  test("that gives other bytes than the digest says is refused", async () => {
    const { host } = await registry({ spoilt: true });
    await expect(client(host).find(parseReference(`${host}/team/app:1`))).rejects.toMatchObject({
      code: "digest-mismatch",
    });
  });

  test("without the image gives nothing", async () => {
    const { host } = await registry();
    expect(await client(host).find(parseReference(`${host}/team/app:2`))).toBeUndefined();
  });

  test("that does not know the password is refused with a hint", async () => {
    const { host } = await registry({ auth: "bearer" });
    const credentials = { find: async () => undefined };
    await expect(
      client(host, { credentials }).find(parseReference(`${host}/team/app:1`)),
    ).rejects.toMatchObject({
      code: "registry-refused",
      hint: "HTTP status 401; are you logged in with docker login?",
    });
  });

  test("is asked after its mirror, which may be away", async () => {
    const { host, asked } = await registry();
    const gone = "127.0.0.1:1";
    const mirrors = new Map([["example.com", [gone, host]]]);
    const found = await client(host, { mirrors, insecure: [host, gone] }).find(
      parseReference("example.com/team/app:1"),
    );
    expect(found?.manifest.layers.length).toBe(1);
    expect(asked[0]).toBe("/v2/team/app/manifests/1");
  });

  test("that is away is named", async () => {
    await expect(client("127.0.0.1:1").find(parseReference("127.0.0.1:1/team/app:1"))).rejects.toMatchObject({
      code: "registry-unavailable",
      object: "http://127.0.0.1:1/v2/team/app/manifests/1",
    });
  });
});
