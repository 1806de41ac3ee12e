/** The snapshotter as containerd finds it: gRPC on a socket, layers in containerd's content. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ContentInfo } from "../../build/generated/content.ts";
import { type DiffClient, diffClient, diffService } from "../../build/generated/diff.ts";
import { type SnapshotsClient, snapshotsClient, snapshotsService } from "../../build/generated/snapshots.ts";
import { KataError } from "../kata-error.ts";
import { GrpcCaller } from "../monitor/grpc-caller.ts";
import { verityHash } from "../policy/genpolicy/image/layer.ts";
import { digestOf, tarOf } from "../policy/genpolicy/testing/image-layout.ts";
import { chainIds, layerId } from "../policy/layers/chain-id.ts";
import type { LayerFormat } from "../policy/layers/layer-disk.ts";
import type { BlobStore } from "./content-store.ts";
import { LayerConverter } from "./convert-layer.ts";
import { diffHandlers } from "./diff-service.ts";
import { type GrpcServer, serveGrpc } from "./grpc-server.ts";
import { SnapshotStore } from "./snapshot-store.ts";
import { snapshotsHandlers } from "./snapshots-service.ts";

const OPTION = "io.katacontainers.fs-opt.";
const ROOT_HASH = "io.katacontainers.dm-verity.root-hash";
const TARS = [tarOf({ "etc/a": "one" }), tarOf({ "etc/b": "two".repeat(5000) }), tarOf({ "etc/.wh.a": "" })];
const DIFF_IDS = TARS.map(digestOf);
const CHAINS = chainIds(DIFF_IDS);

/** Blobs by digest; what is read of them is counted. */
class FakeContent implements BlobStore {
  readonly blobs = new Map<string, Uint8Array>();
  readonly labels = new Map<string, ReadonlyMap<string, string>>();
  readonly reads: string[] = [];

  add(bytes: Uint8Array, labels: Readonly<Record<string, string>> = {}): string {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    this.labels.set(digest, new Map(Object.entries(labels)));
    return digest;
  }

  async list(): Promise<ContentInfo[]> {
    return [...this.blobs].map(([digest, bytes]) => ({
      digest,
      size: BigInt(bytes.length),
      labels: this.labels.get(digest) ?? new Map(),
    }));
  }

  async *read(namespace: string, digest: string): AsyncGenerator<Uint8Array> {
    // As containerd's, which are a namespace's.
    expect(namespace).toBe("test");
    this.reads.push(digest);
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) throw new KataError("not-found", { operation: "read", object: digest });
    for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
  }
}

let directory: string;
let content: FakeContent;
let server: GrpcServer;
let caller: GrpcCaller;
let client: SnapshotsClient;
let differ: DiffClient;
const warnings: string[] = [];

async function start(format: LayerFormat): Promise<void> {
  const store = new SnapshotStore(join(directory, "root"));
  const converter = new LayerConverter(content, store, format);
  const socket = join(directory, "s.sock");
  const handlers = snapshotsHandlers({ store, converter, format, now: () => 1_700_000_000_123 });
  const services = [snapshotsService(handlers), diffService(diffHandlers({ store, converter }))];
  server = await serveGrpc(socket, services, (message) => warnings.push(message));
  // containerd 1.6 sends no namespace along: keys tell it.
  caller = new GrpcCaller(socket);
  client = snapshotsClient(caller);
  differ = diffClient(caller);
}

async function stop(): Promise<void> {
  caller[Symbol.dispose]();
  await server.close();
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "kata-snapshotter-"));
  content = new FakeContent();
  await start("erofs");
});
afterEach(async () => {
  await stop();
  rmSync(directory, { recursive: true, force: true });
});

const keyOf = (index: number) => (index < 0 ? "" : `test/${index}/${CHAINS[index]}`);
const labelled = (digest: string | undefined) =>
  new Map(
    Object.entries({
      "containerd.io/snapshot.ref": "x",
      ...(digest === undefined ? {} : { "containerd.io/snapshot/cri.layer-digest": digest }),
    }),
  );

/** Unpacks a layer as containerd does. */
async function unpack(index: number, digest: string | undefined): Promise<void> {
  const key = `test/9/extract-${index} ${CHAINS[index]}`;
  const { mounts } = await client.prepare({ key, parent: keyOf(index - 1), labels: labelled(digest) });
  expect(mounts).toMatchObject([{ type: "bind", options: ["rw", "rbind"] }]);
  expect(existsSync(mounts[0]?.source ?? "")).toBe(true);
  writeFileSync(join(mounts[0]?.source ?? "", "unpacked"), "");
  await client.commit({ key, name: keyOf(index), labels: new Map([["mine", "yes"]]) });
  expect(existsSync(mounts[0]?.source ?? "")).toBe(false);
}

async function unpackAll(): Promise<void> {
  for (const [index, tar] of TARS.entries()) await unpack(index, content.add(gzipSync(tar)));
}

describe.each(["erofs", "tar"] as const)("layers as %s", (format) => {
  test("are disks with the root hashes that genpolicy computes, and containers are told of them", async () => {
    await stop();
    await start(format);
    await unpackAll();
    const ids = CHAINS.map(layerId);
    expect(readdirSync(join(directory, "root/layers")).sort()).toEqual([...ids].sort());
    const hashes = TARS.map((tar, index) => verityHash(tar, format, DIFF_IDS[index] ?? ""));
    for (const [index] of TARS.entries()) {
      const { info } = await client.stat({ key: keyOf(index) });
      expect(info).toMatchObject({ name: keyOf(index), parent: keyOf(index - 1), kind: 3 });
      expect(info?.labels.get(ROOT_HASH)).toBe(hashes[index]);
      expect(info?.labels.get("mine")).toBe("yes");
      expect(info?.createdAt).toEqual({ seconds: 1_700_000_000n, nanos: 123_000_000 });
    }
    const { mounts } = await client.prepare({ key: "test/20/box", parent: keyOf(2) });
    const layers = [2, 1, 0].map((index) => {
      const text = [
        ids[index],
        format,
        "ro",
        `${OPTION}block_device=file`,
        `${OPTION}is-layer`,
        `${OPTION}root-hash=${hashes[index]}`,
      ];
      return `${OPTION}layer=${Buffer.from(text.join(",")).toString("base64")}`;
    });
    const options = [
      `${OPTION}layer-src-prefix=${directory}/root/layers`,
      ...layers,
      `${OPTION}overlay-rw`,
      `lowerdir=${[...ids].reverse().join(":")}`,
    ];
    expect(mounts).toEqual([{ type: "fuse3.kata-overlay", source: "/", target: "", options }]);
    expect((await client.view({ key: "test/21/look", parent: keyOf(2) })).mounts).toEqual(mounts);
    expect((await client.mounts({ key: "test/20/box" })).mounts).toEqual(mounts);
  });
});

describe("a layer", () => {
  test("is found without a word of which it is, each blob read once", async () => {
    content.add(new TextEncoder().encode('{"schemaVersion": 2}'));
    for (const tar of TARS) content.add(gzipSync(tar));
    for (const index of TARS.keys()) await unpack(index, undefined);
    expect((await client.stat({ key: keyOf(2) })).info?.labels.get(ROOT_HASH)).toMatch(/^[0-9a-f]{64}$/);
    const counts = new Map<string, number>();
    for (const digest of content.reads) counts.set(digest, (counts.get(digest) ?? 0) + 1);
    // Once to look, once to convert.
    expect(Math.max(...counts.values())).toBe(2);
  });

  test("is found by what containerd knows of it, without a look at others", async () => {
    content.add(gzipSync(TARS[1] ?? new Uint8Array(0)));
    const digest = content.add(gzipSync(TARS[0] ?? new Uint8Array(0)), {
      "containerd.io/uncompressed": DIFF_IDS[0] ?? "",
    });
    await unpack(0, undefined);
    expect(content.reads).toEqual([digest]);
  });

  test("that is another one than it is called is refused, and nothing is left", async () => {
    const digest = content.add(gzipSync(TARS[1] ?? new Uint8Array(0)));
    await expect(unpack(0, digest)).rejects.toThrow(/is not the layer that makes/);
    expect(readdirSync(join(directory, "root/layers"))).toEqual([]);
    await expect(client.stat({ key: keyOf(0) })).rejects.toThrow(/not-found|find snapshot/);
  });

  test("that is compressed with zstd is read, and one that is damaged refused", async () => {
    // The archive in blocks that are as they are. Source: RFC 8878, 3.1.1.2.
    const tar = TARS[0] ?? new Uint8Array(0);
    const header = Buffer.alloc(3);
    header.writeUIntLE((tar.length << 3) | 1, 0, 3);
    const zstd = Buffer.concat([Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38), header, tar]);
    await unpack(0, content.add(zstd));
    expect((await client.stat({ key: keyOf(0) })).info?.labels.get(ROOT_HASH)).toBe(
      verityHash(tar, "erofs", DIFF_IDS[0] ?? ""),
    );
    await expect(unpack(1, content.add(zstd.subarray(0, -1)))).rejects.toThrow(/decompress layer/);
  });

  test("that nobody has is named with what to set", async () => {
    await expect(unpack(0, undefined)).rejects.toThrow(/disable_snapshot_annotations/);
  });

  test("of another namespace is the same file, which stays until both are gone", async () => {
    await unpackAll();
    const before = content.reads.length;
    const key = `other/1/extract-x ${CHAINS[0]}`;
    await client.prepare({ key });
    await client.commit({ key, name: `other/2/${CHAINS[0]}` });
    expect(content.reads.length).toBe(before);
    const file = join(directory, "root/layers", layerId(CHAINS[0] ?? ""));
    await client.remove({ key: `other/2/${CHAINS[0]}` });
    expect(existsSync(file)).toBe(true);
    for (const index of [2, 1, 0]) await client.remove({ key: keyOf(index) });
    expect(existsSync(file)).toBe(false);
  });
});

describe("a layer that containerd has unpacked here", () => {
  const TAR = TARS[0] ?? new Uint8Array(0);
  const KEY = `test/9/extract-0 ${CHAINS[0]}`;
  const disk = () => readdirSync(join(directory, "root/layers"));
  const descriptor = (bytes: Uint8Array) => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    digest: content.add(bytes),
    size: BigInt(bytes.length),
  });

  test("is a disk at once, and is read only once", async () => {
    const { mounts } = await client.prepare({ key: KEY });
    const diff = descriptor(gzipSync(TAR));
    expect(await differ.apply({ diff, mounts })).toEqual({
      applied: {
        mediaType: "application/vnd.oci.image.layer.v1.tar",
        digest: DIFF_IDS[0],
        size: BigInt(TAR.length),
        annotations: new Map(),
      },
    });
    expect(readdirSync(mounts[0]?.source ?? "")).toEqual([]);
    // Neither the end of the program nor a clean-up takes it away.
    await stop();
    await start("erofs");
    await client.cleanup({});
    await client.commit({ key: KEY, name: keyOf(0) });
    expect(content.reads).toEqual([diff.digest]);
    expect(disk()).toEqual([layerId(CHAINS[0] ?? "")]);
    expect((await client.stat({ key: keyOf(0) })).info?.labels.get(ROOT_HASH)).toBe(
      verityHash(TAR, "erofs", DIFF_IDS[0] ?? ""),
    );
  });

  test("goes with its snapshot", async () => {
    const { mounts } = await client.prepare({ key: KEY });
    await differ.apply({ diff: descriptor(gzipSync(TAR)), mounts });
    expect(disk().length).toBe(1);
    await client.remove({ key: KEY });
    expect(disk()).toEqual([]);
  });

  test("becomes no layer of another name", async () => {
    const { mounts } = await client.prepare({ key: KEY });
    await differ.apply({ diff: descriptor(gzipSync(TARS[1] ?? TAR)), mounts });
    await expect(client.commit({ key: KEY, name: keyOf(0) })).rejects.toThrow(/disable_snapshot_annotations/);
  });

  test("is left to others if it is none, or goes elsewhere", async () => {
    const { mounts } = await client.prepare({ key: KEY });
    const elsewhere = [{ type: "bind", source: directory, options: ["rbind"] }];
    const text = new TextEncoder().encode("{}");
    for (const request of [
      { diff: descriptor(gzipSync(TAR)), mounts: elsewhere },
      { diff: descriptor(gzipSync(TAR)), mounts: [...mounts, ...elsewhere] },
      { diff: descriptor(gzipSync(TAR)), mounts: [] },
      { diff: descriptor(text), mounts },
      { mounts },
    ]) {
      await expect(differ.apply(request)).rejects.toThrow(/unpack layer/);
    }
  });
});

describe("snapshots", () => {
  test("last when the program is started again; what nobody needs does not", async () => {
    await unpackAll();
    await client.prepare({ key: "test/30/box", parent: keyOf(2) });
    const { mounts } = await client.mounts({ key: "test/30/box" });
    await stop();
    for (const stray of ["layers/stray", "staging/stray", "snapshots/.unfinished-7"])
      writeFileSync(join(directory, "root", stray), "");
    await start("erofs");
    expect((await client.mounts({ key: "test/30/box" })).mounts).toEqual(mounts);
    expect(readdirSync(join(directory, "root/layers")).length).toBe(3);
    expect(readdirSync(join(directory, "root/staging"))).toEqual([]);
    expect(readdirSync(join(directory, "root/snapshots")).length).toBe(4);
  });

  test("are listed, all or those that filters ask for", async () => {
    await unpackAll();
    await client.prepare({ key: "test/30/box", parent: keyOf(2), labels: new Map([["a/b", 'q"uote']]) });
    const names = async (...filters: string[]) =>
      (await client.list({ filters })).info.map(({ name }) => name);
    expect((await names()).length).toBe(4);
    expect(await names("kind==active")).toEqual(["test/30/box"]);
    expect(await names(`parent==${keyOf(0)}`)).toEqual([keyOf(1)]);
    expect(await names('labels."a/b"=="q\\"uote",kind==active')).toEqual(["test/30/box"]);
    expect(await names('labels."a/b"')).toEqual(["test/30/box"]);
    expect(await names("kind!=committed", `name~=^${keyOf(0).replaceAll("/", "\\/")}$`)).toEqual([
      keyOf(0),
      "test/30/box",
    ]);
    await expect(names("==x")).rejects.toThrow(/read filter/);
    await expect(names("name~=(")).rejects.toThrow(/read filter/);
  });

  test("have labels that change, but for what the disk is", async () => {
    await unpackAll();
    const hash = (await client.stat({ key: keyOf(0) })).info?.labels.get(ROOT_HASH);
    const labels = new Map([
      ["x", "1"],
      [ROOT_HASH, "forged"],
    ]);
    const one = await client.update({
      info: { name: keyOf(0), labels },
      updateMask: { paths: ["labels.x", `labels.${ROOT_HASH}`] },
    });
    expect(Object.fromEntries(one.info?.labels ?? [])).toMatchObject({
      mine: "yes",
      x: "1",
      [ROOT_HASH]: hash,
    });
    const all = await client.update({ info: { name: keyOf(0), labels } });
    expect(all.info?.labels.get("mine")).toBeUndefined();
    expect(all.info?.labels.get(ROOT_HASH)).toBe(hash);
    await expect(
      client.update({ info: { name: keyOf(0) }, updateMask: { paths: ["parent"] } }),
    ).rejects.toThrow(/only labels/);
  });

  test("have a size", async () => {
    await unpackAll();
    const file = join(directory, "root/layers", layerId(CHAINS[1] ?? ""));
    expect(await client.usage({ key: keyOf(1) })).toEqual({
      size: BigInt(readFileSync(file).length),
      inodes: 1n,
    });
  });

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ["one that is there", () => client.prepare({ key: keyOf(0) }), /make snapshot/],
    ["one without a key", () => client.prepare({ key: "" }), /without a key/],
    [
      "one on a parent that is not there",
      () => client.prepare({ key: "k", parent: "none" }),
      /find snapshot: none/,
    ],
    ["the end of one that others stand on", () => client.remove({ key: keyOf(0) }), /is on top of it/],
    ["mounts of a layer", () => client.mounts({ key: keyOf(0) }), /it is committed/],
  ])("refuse %s", async (_what, call, message) => {
    await unpackAll();
    await expect(call()).rejects.toThrow(message);
  });

  test("of containers do not become layers", async () => {
    await unpackAll();
    await client.prepare({ key: "test/40/box", parent: keyOf(2) });
    await expect(client.commit({ key: "test/40/box", name: "test/41/new" })).rejects.toThrow(
      /is in its guest/,
    );
    await expect(client.prepare({ key: "k", parent: "test/40/box" })).rejects.toThrow(/not committed/);
  });
});

describe("the server", () => {
  test("answers a method that it does not know, and a request that is none", async () => {
    await expect(
      caller.call("containerd.services.snapshots.v1.Snapshots", "Nonsense", new Uint8Array(0)),
    ).rejects.toThrow(/not known/);
    await expect(caller.call("x.Y", "Z", new Uint8Array(0))).rejects.toThrow(/not known/);
    const large = new Uint8Array(5 << 20);
    await expect(caller.call("containerd.services.snapshots.v1.Snapshots", "Stat", large)).rejects.toThrow(
      /too large/,
    );
    await expect(
      caller.call("containerd.services.snapshots.v1.Snapshots", "Stat", Uint8Array.of(0xff)),
    ).rejects.toThrow();
    expect((await client.list({})).info).toEqual([]);
  });
});
