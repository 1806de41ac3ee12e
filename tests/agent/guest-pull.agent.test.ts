/** Images that the agent pulls itself, where there is no confidential data hub. */
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Compression,
  digestOf,
  ImageRegistry,
  type RegistryOptions,
} from "../harness/image-registry.ts";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { containerSpec } from "./harness/container-spec.ts";

const PULLED_ROOT = "/run/kata-containers/pulled/rootfs";
let scratch: string;
let busybox: Buffer;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "kata-guest-pull-"));
  busybox = layer((root) => {
    mkdirSync(join(root, "bin"));
    execFileSync("cp", ["/bin/busybox", join(root, "bin/busybox")]);
    for (const name of ["sh", "cat", "ls", "stat", "true"]) symlinkSync("busybox", join(root, "bin", name));
    for (const name of ["dev", "proc", "sys", "tmp", "etc"]) mkdirSync(join(root, name));
    mkdirSync(join(root, "data/old"), { recursive: true });
    writeFileSync(join(root, "data/old/a"), "a\n");
    writeFileSync(join(root, "data/kept"), "kept\n");
    writeFileSync(join(root, "data/gone"), "gone\n");
  });
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** What the agent has once it has begun to serve. */
async function stateOf(agent: TestAgent) {
  await agent.calls.getGuestDetails({});
  return agent.state();
}

let layers = 0;

/** A tar archive of what `fill` makes. */
function layer(fill: (root: string) => void, flags: readonly string[] = []): Buffer {
  const root = join(scratch, `layer-${++layers}`);
  mkdirSync(root);
  fill(root);
  return execFileSync("tar", ["-C", root, "--numeric-owner", ...flags, "-c", "."], { maxBuffer: 1 << 28 });
}

const pull = (source: string) => ({
  driver: "image_guest_pull",
  driverOptions: [`image_guest_pull={"metadata":{}}`],
  source,
  fstype: "overlay",
  options: [],
  mountPoint: PULLED_ROOT,
});

async function withImage(
  options: RegistryOptions,
  archives: readonly Buffer[],
  script: string,
  compression: Compression = "none",
) {
  await using registry = await ImageRegistry.start(options);
  registry.addImage("test/app:1", archives, compression);
  const host = `127.0.0.1:${registry.port}`;
  await using agent = await startAgent({ KATA_AGENT_INSECURE_REGISTRIES: host });
  const before = await stateOf(agent);
  const spec = containerSpec(PULLED_ROOT, ["sh", "-c", script]);
  let result: unknown;
  {
    await using container = await agent.create(spec, undefined, {
      storages: [pull(`${host}/test/app:1`)],
    });
    await container.start();
    result = await container.result();
  }
  await agent.settled(before);
  return { result, requests: registry.requests };
}

test("an image is the container's root, which it can change, and goes with it", async () => {
  const { result } = await withImage({}, [busybox], "echo in > /new; cat /new /data/kept");
  expect(result).toEqual({ status: 0, stdout: "in\nkept\n", stderr: "" });
});

test.each<[string, RegistryOptions, Compression]>([
  ["compressed by gzip", {}, "gzip"],
  ["compressed by zstd", {}, "zstd"],
  ["for a token", { token: true }, "none"],
  ["from another place than the registry", { redirects: true }, "gzip"],
  ["in chunks", { chunked: true }, "gzip"],
])("an image is pulled %s", async (_what, options, compression) => {
  const { result } = await withImage(options, [busybox], "cat /data/kept", compression);
  expect(result).toEqual({ status: 0, stdout: "kept\n", stderr: "" });
});

test("layers lie on each other: files are replaced, taken away and hidden", async () => {
  const upper = layer((root) => {
    mkdirSync(join(root, "data/old"), { recursive: true });
    writeFileSync(join(root, "data/kept"), "changed\n", { mode: 0o640 });
    writeFileSync(join(root, "data/.wh.gone"), "");
    writeFileSync(join(root, "data/old/b"), "b\n");
    writeFileSync(join(root, "data/old/.wh..wh..opq"), "");
    execFileSync("chown", ["12:34", join(root, "data/kept")]);
    execFileSync("ln", [join(root, "data/kept"), join(root, "data/same")]);
  });
  const { result } = await withImage(
    {},
    [busybox, upper],
    "cat /data/kept; ls -A /data /data/old; stat -c '%u %g %a %h' /data/same",
    "gzip",
  );
  expect(result).toEqual({
    status: 0,
    stdout: "changed\n/data:\nkept\nold\nsame\n\n/data/old:\nb\n12 34 640 2\n",
    stderr: "",
  });
});

test("a program keeps the capabilities that it has in its layer, and gets no attribute for the guest's kernel", async () => {
  const capable = layer(
    (root) => {
      writeFileSync(join(root, "program"), "");
      execFileSync("setcap", ["cap_net_raw+ep", join(root, "program")]);
    },
    ["--xattrs", "--xattrs-include=*", "--pax-option=SCHILY.xattr.trusted.overlay.opaque:=y"],
  );
  await using registry = await ImageRegistry.start();
  registry.addImage("test/app:1", [busybox, capable]);
  const host = `127.0.0.1:${registry.port}`;
  await using agent = await startAgent({ KATA_AGENT_INSECURE_REGISTRIES: host });
  const spec = containerSpec(PULLED_ROOT, ["cat"]);
  await using container = await agent.create(spec, undefined, { storages: [pull(`${host}/test/app:1`)] });
  await container.start();
  const root = `/proc/${agent.pid}/root/run/kata-containers/images`;
  const [image] = readdirSync(root).filter((name) => name.startsWith("pulled-"));
  const program = join(root, image ?? "", "rootfs/program");
  expect(execFileSync("getcap", [program], { encoding: "utf8" })).toContain("cap_net_raw=ep");
  const again = execFileSync("tar", ["--xattrs", "--xattrs-include=*", "--format=pax", "-cPf", "-", program]);
  expect(again.includes("SCHILY.xattr.security.capability")).toBe(true);
  expect(again.includes("trusted.overlay")).toBe(false);
});

test("a link in a layer leads nowhere but into the image", async () => {
  const outside = join(scratch, "outside");
  mkdirSync(outside);
  const link = layer((root) => symlinkSync(outside, join(root, "link")));
  const through = layer(
    (root) => writeFileSync(join(root, "evil"), "evil\n"),
    ["--transform", "s,^./evil,link/evil,"],
  );
  // The link's target is made in the image: that is where it leads.
  const inside = layer((root) => mkdirSync(join(root, outside), { recursive: true }));
  const { result } = await withImage({}, [busybox, inside, link, through], `cat /link/evil ${outside}/evil`);
  expect(result).toMatchObject({ status: 0, stdout: "evil\nevil\n" });
  expect(execFileSync("ls", ["-A", outside], { encoding: "utf8" })).toBe("");
});

async function refusal(
  arrange: (registry: ImageRegistry) => void,
  options: RegistryOptions = {},
  name = "test/app:1",
): Promise<string> {
  await using registry = await ImageRegistry.start(options);
  registry.addImage("test/app:1", [busybox]);
  arrange(registry);
  const host = `127.0.0.1:${registry.port}`;
  await using agent = await startAgent({ KATA_AGENT_INSECURE_REGISTRIES: host });
  const before = await stateOf(agent);
  const spec = containerSpec(PULLED_ROOT, ["true"]);
  const failure = await agent.create(spec, undefined, { storages: [pull(`${host}/${name}`)] }).then(
    () => "it was created",
    (error: unknown) => String(error),
  );
  await agent.settled(before);
  return failure;
}

test("a blob that is not what its digest says is refused, and leaves nothing", async () => {
  const forged = Buffer.from(busybox);
  forged.write("evil", forged.indexOf("kept\n"));
  const failure = await refusal(() => undefined, { forged: new Map([[digestOf(busybox), forged]]) });
  expect(failure).toContain(digestOf(busybox));
  expect(failure).toContain(`digest ${digestOf(forged)}`);
});

test.each([
  ["cut", (whole: Buffer) => whole.subarray(0, whole.length - 100), /the data ends too early/],
  ["no gzip", () => Buffer.from("hello"), /incorrect header check/],
])("a layer that is %s is told of, though its digest is right", async (_what, damage, message) => {
  const failure = await refusal(
    (registry) => {
      const blob = registry.addBlob(damage(gzipSync(busybox)));
      const config = { architecture: "amd64", os: "linux", rootfs: { diff_ids: [digestOf(busybox)] } };
      registry.addManifest("test/damaged:1", "application/vnd.oci.image.manifest.v1+json", {
        schemaVersion: 2,
        config: registry.addBlob(Buffer.from(JSON.stringify(config))),
        layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...blob }],
      });
    },
    {},
    "test/damaged:1",
  );
  expect(failure).toMatch(message);
});

test("a registry that sends nothing any more is given up, and nothing is left", async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await using agent = await startAgent({
    KATA_AGENT_INSECURE_REGISTRIES: host,
    KATA_AGENT_IMAGE_PULL_TIMEOUT: "1",
  });
  const before = await stateOf(agent);
  const creating = agent.create(containerSpec(PULLED_ROOT, ["true"]), undefined, {
    storages: [pull(`${host}/test/app:1`)],
  });
  await expect(creating).rejects.toThrow(/it took more than 1 s/);
  await agent.settled(before);
  silent.close();
});

test("a blob that is longer than its size says is given up", async () => {
  const longer = Buffer.concat([busybox, Buffer.alloc(1 << 20)]);
  const failure = await refusal(() => undefined, { forged: new Map([[digestOf(busybox), longer]]) });
  expect(failure).toContain("more bytes than its size says");
});

test("an image that was asked for by its digest is that one", async () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const failure = await refusal(
    (registry) => registry.addManifest(`test/app:${digest}`, "x", {}),
    {},
    `test/app@${digest}`,
  );
  expect(failure).toMatch(/answered 404/);
});

test.each([
  ["whose name leads out of the image", "s,^./x,../../x,", /leads out of the image/],
  ["that takes away the directory it is in", "s,^./x,d/.wh...,", /takes nothing away/],
])("a layer with an entry %s is refused", async (_what, transform, message) => {
  const evil = layer((root) => writeFileSync(join(root, "x"), ""), ["-P", "--transform", transform]);
  const failure = await refusal(
    (registry) => registry.addImage("test/evil:1", [busybox, evil]),
    {},
    "test/evil:1",
  );
  expect(failure).toMatch(message);
});

test.each([
  ["an image that is not there", "test/none:1", /test\/none:1.*answered 404/],
  ["a name that is none", "UPPER/case", /read image name/],
])("%s is told of by its name", async (_what, name, message) => {
  expect(await refusal(() => undefined, {}, name)).toMatch(message);
});

test("a layer whose compression is unknown here is told of by its type", async () => {
  const failure = await refusal(
    (registry) => {
      const blob = { digest: digestOf(busybox), size: busybox.length };
      registry.addManifest("test/secret:1", "application/vnd.oci.image.manifest.v1+json", {
        schemaVersion: 2,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...blob },
        layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", ...blob }],
      });
    },
    {},
    "test/secret:1",
  );
  expect(failure).toMatch(/gzip\+encrypted/);
});

test("hooks find the bundle beside the pulled root, and both go", async () => {
  await using registry = await ImageRegistry.start();
  registry.addImage("test/app:1", [busybox]);
  const host = `127.0.0.1:${registry.port}`;
  await using agent = await startAgent({ KATA_AGENT_INSECURE_REGISTRIES: host });
  const before = await stateOf(agent);
  const id = "hooked";
  const mountPoint = `/run/kata-containers/${id}/rootfs`;
  const note = join(scratch, "hook");
  const hook = { path: "/bin/sh", args: ["sh", "-c", `grep -o '"bundle":"[^"]*"' > ${note}`] };
  const spec = { ...containerSpec(mountPoint, ["true"]), hooks: { createRuntime: [hook] } };
  {
    await using container = await agent.create(spec, id, {
      storages: [{ ...pull(`${host}/test/app:1`), mountPoint }],
    });
    await container.start();
    expect(await container.wait()).toBe(0);
  }
  expect(readFileSync(note, "utf8")).toBe(`"bundle":"/run/kata-containers/${id}"\n`);
  expect(readdirSync(`/proc/${agent.pid}/root/run/kata-containers`)).not.toContain(id);
  await agent.settled(before);
});

test("the pod's first container has nothing to pull, and waits until it is ended", async () => {
  await using agent = await startAgent();
  const before = await stateOf(agent);
  {
    await using container = await agent.create(containerSpec(PULLED_ROOT, ["/whatever"]), undefined, {
      storages: [pull("pause")],
    });
    await container.start();
    const commands = agent.childProcesses().map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    expect(commands).toEqual(["/pause\0--pause\0"]);
    const ended = container.wait();
    // The first process of a namespace gets a signal only when it listens for it.
    const asking = setInterval(() => void container.signal(15).catch(() => undefined), 50);
    // A signal that a program waits for without a handler is one that ends it, to the agent.
    expect([0, 128 + 9]).toContain(await ended);
    clearInterval(asking);
  }
  await agent.settled(before);
});

interface Certificate {
  readonly file: string;
  readonly key: string;
  readonly cert: string;
}

/** A certificate for `host` that vouches for itself. */
function certificate(name: string, host: string): Certificate {
  const [file, keyFile] = [join(scratch, `${name}.pem`), join(scratch, `${name}.key`)];
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const about = ["-days", "2", "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${host}`];
  execFileSync("openssl", [...request, ...about, "-keyout", keyFile, "-out", file], { stdio: "ignore" });
  return { file, key: readFileSync(keyFile, "utf8"), cert: readFileSync(file, "utf8") };
}

/** Pulls from a registry with `served`, by an agent that trusts `trusted`. @returns what the container prints, or the failure. */
async function pullEncrypted(served: Certificate, trusted: string): Promise<string> {
  await using registry = await ImageRegistry.start({ tls: served, token: true });
  registry.addImage("test/app:1", [busybox], "gzip");
  await using agent = await startAgent({ SSL_CERT_FILE: trusted });
  const before = await stateOf(agent);
  const spec = containerSpec(PULLED_ROOT, ["cat", "/data/kept"]);
  const run = async () => {
    await using container = await agent.create(spec, undefined, {
      storages: [pull(`localhost:${registry.port}/test/app:1`)],
    });
    await container.start();
    return (await container.result()).stdout;
  };
  const outcome = await run().catch((error: unknown) => String(error));
  await agent.settled(before);
  return outcome;
}

test("a registry is spoken to by TLS, if an authority that the guest trusts vouches for it", async () => {
  const own = certificate("registry", "localhost");
  expect(await pullEncrypted(own, own.file)).toBe("kept\n");
});

test.each([
  [
    "that nobody whom the guest trusts vouches for",
    "localhost",
    "another",
    /not correctly signed by the trusted CA/,
  ],
  [
    "whose certificate is another host's",
    "elsewhere.example.com",
    "itself",
    /does not match with the expected CN/,
  ],
])("a registry %s is refused, and nothing is left", async (_what, host, trusted, message) => {
  const own = certificate("refused", host);
  const { file } = trusted === "itself" ? own : certificate("another", "localhost");
  expect(await pullEncrypted(own, file)).toMatch(message);
});

test("without certificates to trust, the guest says how to get them", async () => {
  const own = certificate("untold", "localhost");
  expect(await pullEncrypted(own, join(scratch, "none.pem"))).toMatch(/npm run image -- --authorities/);
});
