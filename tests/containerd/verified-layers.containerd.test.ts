/**
 * A pod whose policy binds the layers of its images: containerd's snapshotter is the project's, the shim plugs the layers in as disks, and
 * the policy refuses any other, naming the rule.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AgentServiceClient, CreateContainerRequest } from "../../build/generated/agent.ts";
import { layeredImage } from "../harness/layered-image.ts";
import { PolicedPod } from "../harness/policed-pod.ts";

const SCRIPT = "while :; do sleep 1; done";
/** What the policy lets nobody read, the container itself looks at. */
const CHECK =
  "grep -qx kept /data/link && grep -qx second /data/changed && [ ! -e /data/gone ] && [ -e /data/opaque/after ] && [ ! -e /data/opaque/before ] && echo x > /data/new && echo x >> /scratch/new";
const NAME = "localhost/layered:latest";
const YAML = `apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default }
spec:
  containers:
  - name: app
    image: ${NAME}
    command: [sh, -c, "${SCRIPT}"]
    volumeMounts: [{ name: scratch, mountPath: /scratch }]
    livenessProbe: { exec: { command: [sh, -c, ${JSON.stringify(CHECK)}] } }
  volumes: [{ name: scratch, emptyDir: {} }]
`;
const DEADLINE_MS = 400_000;
const HASH = "io.katacontainers.fs-opt.root-hash=";

let directory: string;
let pod: PolicedPod;
let agent: AgentServiceClient;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "kata-verified-"));
  const image = await layeredImage(directory, NAME);
  const env = { KUBERNETES_SERVICE_HOST: "10.0.0.1" };
  pod = await PolicedPod.run(
    YAML,
    { name: "app", script: SCRIPT, env, emptyDirs: { scratch: "/scratch" } },
    image,
  );
  agent = await pod.agent();
}, DEADLINE_MS);
afterAll(async () => {
  await pod?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
}, DEADLINE_MS);

test(
  "it runs, on the layers of its image",
  async () => {
    const { storages } = pod.createRequest();
    expect(storages.map(({ driver, fstype }) => `${driver} ${fstype}`)).toEqual([
      "blk erofs",
      "blk erofs",
      "blk erofs",
      "blk ext4",
      "overlayfs fuse3.kata-overlay",
      "blk ext4",
    ]);
    expect(await pod.exec("sh", "-c", CHECK)).toEqual({
      status: 0,
      stdout: "",
    });
  },
  DEADLINE_MS,
);

type Storages = CreateContainerRequest["storages"];

/** Asks the agent for another container of the kind, with other storages. */
function create(change: (storages: Storages) => Storages): Promise<unknown> {
  const request = pod.createRequest();
  return agent.createContainer({ ...request, storages: change(request.storages) });
}

const others = (text: string) => text.replace(/[0-9a-f]{64}$/, "0".repeat(64));
const TAMPERED: readonly (readonly [string, (storages: Storages) => Storages])[] = [
  [
    "a layer with another root hash",
    ([first, ...rest]) => [
      {
        ...(first as Storages[number]),
        options: first?.options.map((option) => (option.startsWith(HASH) ? others(option) : option)) ?? [],
      },
      ...rest,
    ],
  ],
  [
    "a layer without a root hash",
    ([first, ...rest]) => [
      {
        ...(first as Storages[number]),
        options: first?.options.filter((option) => !option.startsWith(HASH)) ?? [],
      },
      ...rest,
    ],
  ],
  ["a layer left out", ([, ...rest]) => rest],
  [
    "layers in another order",
    (all) =>
      all.map((storage) => ({
        ...storage,
        options: storage.options.map((option) =>
          option.startsWith("lowerdir=")
            ? `lowerdir=${option.slice(9).split(":").reverse().join(":")}`
            : option,
        ),
      })),
  ],
  [
    "a disk of the host's as its root",
    (all) => [
      ...all.slice(0, 4),
      { ...(all[0] as Storages[number]), mountPoint: all[4]?.mountPoint ?? "" },
      ...all.slice(5),
    ],
  ],
  [
    "changes on the disk of a volume",
    (all) =>
      all.map((storage) =>
        storage.mountPoint.endsWith("/changes")
          ? { ...storage, source: all[5]?.source ?? "", mountPoint: all[5]?.mountPoint ?? "" }
          : storage,
      ),
  ],
  [
    "changes in memory",
    (all) =>
      all
        .filter(({ mountPoint }) => !mountPoint.endsWith("/changes"))
        .map((storage) => ({
          ...storage,
          options: storage.options.filter((option) => !option.endsWith("changes-on-disk")),
        })),
  ],
  ["no layers", () => []],
];

test.each(TAMPERED)("%s is refused, naming the rule", async (_what, change) => {
  await expect(create(change)).rejects.toThrow(
    /CreateContainerRequest is blocked by policy: .*storages_allowed/,
  );
});

test("after that it still runs", async () => {
  expect(await pod.exec("cat", "/etc/passwd").catch((error: unknown) => String(error))).toMatch(
    /blocked by policy/,
  );
  expect((await pod.exec("sh", "-c", CHECK)).status).toBe(0);
});
