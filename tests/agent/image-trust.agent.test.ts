/** Images that the agent pulls itself by a password of the owner's, and only those that the owner's policy accepts. */
import { execFileSync } from "node:child_process";
import { createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ImageRegistry, type RegistryOptions } from "../harness/image-registry.ts";
import { startAgent } from "./harness/agent.ts";
import { containerSpec } from "./harness/container-spec.ts";
import { startDataHub } from "./harness/data-hub.ts";

const PULLED_ROOT = "/run/kata-containers/trusted/rootfs";
const PASSWORD = "somebody:secret";
const EC = generateKeyPairSync("ec", { namedCurve: "P-256" });
const RSA = generateKeyPairSync("rsa", { modulusLength: 2048 });
let scratch: string;
let archive: Buffer;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "kata-image-trust-"));
  const root = join(scratch, "root");
  mkdirSync(join(root, "bin"), { recursive: true });
  execFileSync("cp", ["/bin/busybox", join(root, "bin/busybox")]);
  symlinkSync("busybox", join(root, "bin/echo"));
  for (const name of ["dev", "proc", "sys", "tmp"]) mkdirSync(join(root, name));
  archive = execFileSync("tar", ["-C", root, "-c", "."], { maxBuffer: 1 << 28 });
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let files = 0;
/** A file of the owner's, as `file://`. */
function owned(content: unknown): string {
  const path = join(scratch, `owned-${++files}`);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return `file://${path}`;
}

interface Case {
  readonly registry?: RegistryOptions;
  readonly auth?: (host: string) => string;
  readonly policy?: (host: string) => string;
  readonly prepare?: (registry: ImageRegistry, host: string, digest: string) => void;
}

/** Runs a container of the image. @returns what it says. */
async function run({ registry: options = {}, auth, policy, prepare }: Case): Promise<string> {
  await using registry = await ImageRegistry.start(options);
  const digest = registry.addImage("test/app:1", [archive]);
  const host = `127.0.0.1:${registry.port}`;
  prepare?.(registry, host, digest);
  await using agent = await startAgent({
    KATA_AGENT_INSECURE_REGISTRIES: host,
    ...(auth === undefined ? {} : { KATA_AGENT_IMAGE_REGISTRY_AUTH: auth(host) }),
    ...(policy === undefined ? {} : { KATA_AGENT_IMAGE_POLICY_FILE: policy(host) }),
  });
  const pull = {
    driver: "image_guest_pull",
    driverOptions: [],
    source: `${host}/test/app:1`,
    fstype: "overlay",
    options: [],
    mountPoint: PULLED_ROOT,
  };
  const spec = containerSpec(PULLED_ROOT, ["echo", "in"]);
  await using container = await agent.create(spec, undefined, { storages: [pull] });
  await container.start();
  return (await container.result()).stdout;
}

const passwords = (host: string, password = PASSWORD) =>
  owned({ auths: { [host]: { auth: Buffer.from(password).toString("base64") } } });

describe.each(["basic", "token"] as const)("a registry that wants a password, %s", (kind) => {
  const registry = { password: { kind, text: PASSWORD } };

  test("gets the owner's", async () => {
    expect(await run({ registry, auth: (host) => passwords(host) })).toBe("in\n");
  });

  test.each<[string, Case, RegExp]>([
    ["none", {}, /it wants a user's password: authenticated_registry_credentials_uri/],
    ["that of another registry", { auth: () => passwords("example.com") }, /it wants a user's password/],
    [
      "another",
      { auth: (host) => passwords(host, "somebody:else") },
      /does not take the password|answered 401/,
    ],
    ["what is no file", { auth: () => "file:///nowhere" }, /ENOENT/],
    ["what is none", { auth: () => owned("{}}") }, /read passwords of registries: no JSON/],
  ])("refuses who has %s", async (_what, given, message) => {
    await expect(run({ registry, ...given })).rejects.toThrow(message);
  });
});

/** What cosign writes beside an image. */
function sign(
  key: KeyObject,
  reference: (host: string) => string = (host) => `${host}/test/app`,
  change: { readonly digest?: string; readonly payload?: (text: string) => string } = {},
): Required<Case>["prepare"] {
  return (registry, host, digest) => {
    const text = JSON.stringify({
      critical: {
        identity: { "docker-reference": reference(host) },
        image: { "docker-manifest-digest": change.digest ?? digest },
        type: "cosign container image signature",
      },
      optional: null,
    });
    const signature = createSign("sha256").update(text).sign(key).toString("base64");
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const config = registry.addBlob(Buffer.from("{}"));
    const payload = registry.addBlob(Buffer.from(change.payload?.(text) ?? text));
    registry.addManifest(`test/app:${digest.replace(":", "-")}.sig`, mediaType, {
      schemaVersion: 2,
      mediaType,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: [
        {
          mediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
          ...payload,
          annotations: { "dev.cosignproject.cosign/signature": signature },
        },
      ],
    });
  };
}

const pem = (key: KeyObject) => key.export({ type: "spki", format: "pem" }).toString();
const ACCEPT = { type: "insecureAcceptAnything" };
const REJECT = { type: "reject" };
const signed = (key = EC.publicKey, more: object = {}) => ({
  type: "sigstoreSigned",
  keyData: Buffer.from(pem(key)).toString("base64"),
  ...more,
});
const byDefault =
  (...requirements: object[]) =>
  () =>
    owned({ default: requirements });

describe("a policy of images", () => {
  test.each<[string, Case]>([
    ["anything", { policy: byDefault(ACCEPT) }],
    [
      "this registry",
      { policy: (host) => owned({ default: [REJECT], transports: { docker: { [host]: [ACCEPT] } } }) },
    ],
    ["what is signed, by ECDSA", { policy: byDefault(signed()), prepare: sign(EC.privateKey) }],
    ["what is signed, by RSA", { policy: byDefault(signed(RSA.publicKey)), prepare: sign(RSA.privateKey) }],
    [
      "what is signed by a key in a file",
      {
        policy: () => {
          const keyPath = owned(pem(EC.publicKey)).slice("file://".length);
          return owned({ default: [{ type: "sigstoreSigned", keyPath }] });
        },
        prepare: sign(EC.privateKey),
      },
    ],
    [
      "what is signed as another repository, by its wish",
      {
        policy: byDefault(
          signed(EC.publicKey, { signedIdentity: { type: "exactRepository", dockerRepository: "e.com/a" } }),
        ),
        prepare: sign(EC.privateKey, () => "e.com/a"),
      },
    ],
  ])("accepts %s", async (_what, given) => {
    expect(await run(given)).toBe("in\n");
  });

  const UNSIGNED = /accept image.*wants a signature, and none of/;
  test.each<[string, Case, RegExp]>([
    [
      "everything",
      { policy: byDefault(REJECT) },
      /accept image: 127\.0\.0\.1:\d+\/test\/app sha256:.*rejects it/,
    ],
    ["what has no signature", { policy: byDefault(signed()) }, UNSIGNED],
    [
      "what another key signs",
      { policy: byDefault(signed(RSA.publicKey)), prepare: sign(EC.privateKey) },
      UNSIGNED,
    ],
    [
      "what one of two keys signs",
      { policy: byDefault(signed(), signed(RSA.publicKey)), prepare: sign(EC.privateKey) },
      UNSIGNED,
    ],
    [
      "a signature for another image",
      {
        policy: byDefault(signed()),
        prepare: sign(EC.privateKey, undefined, { digest: `sha256:${"0".repeat(64)}` }),
      },
      UNSIGNED,
    ],
    [
      "a signature for another repository",
      { policy: byDefault(signed()), prepare: sign(EC.privateKey, (host) => `${host}/test/other`) },
      UNSIGNED,
    ],
    [
      "a signature for another tag",
      { policy: byDefault(signed()), prepare: sign(EC.privateKey, (host) => `${host}/test/app:2`) },
      UNSIGNED,
    ],
    [
      "a text that was changed",
      {
        policy: byDefault(signed()),
        prepare: sign(EC.privateKey, (host) => `${host}/test/other`, {
          payload: (text) => text.replace("/test/other", "/test/app"),
        }),
      },
      UNSIGNED,
    ],
    [
      "by a key that is none",
      {
        policy: byDefault({
          type: "sigstoreSigned",
          keyData: Buffer.from("-----BEGIN x").toString("base64"),
        }),
        prepare: sign(EC.privateKey),
      },
      /check signature: public key/,
    ],
    ["by what is no policy", { policy: () => owned("{}") }, /read policy of images/],
  ])("refuses %s", async (_what, given, message) => {
    await expect(run(given)).rejects.toThrow(message);
  });
});

test("a hub that pulls no images gives passwords and keys", async () => {
  const resources: Record<string, string> = {
    "kbs:///default/policy/1": JSON.stringify({
      default: [{ type: "sigstoreSigned", keyPath: "kbs:///default/key/1" }],
    }),
    "kbs:///default/key/1": pem(EC.publicKey),
  };
  await using hub = await startDataHub({}, undefined, resources);
  const given: Case = {
    registry: { password: { kind: "basic", text: PASSWORD } },
    auth: (host) => {
      const auths = { [host]: { auth: Buffer.from(PASSWORD).toString("base64") } };
      resources["kbs:///default/auth/1"] = JSON.stringify({ auths });
      return "kbs:///default/auth/1";
    },
    policy: () => "kbs:///default/policy/1",
  };
  expect(await run({ ...given, prepare: sign(EC.privateKey) })).toBe("in\n");
  await expect(run(given)).rejects.toThrow(/wants a signature/);
  await expect(run({ ...given, policy: () => "kbs:///default/none/1" })).rejects.toThrow(/none/);
  expect(hub.pulled).toEqual([]);
});
