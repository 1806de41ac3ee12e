/**
 * A pod without a shared directory (`shared_fs = "none"`) in a real machine: its root filesystem is a disk, and files of the host are
 * copied. Needs our guest (`npm run image`).
 */
import type { Mount, Spec } from "../oci/types.ts";
import { sleep } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { chmod, chown, exists, mkdirAll, readDirectory, rename, symlink, writeFile } from "../sys/files.ts";
import { assert, assertEqual, runTests } from "../sys/testing/native-test.ts";
import { utf8Decode } from "../sys/utf8.ts";
import { openSandbox } from "./open-sandbox.ts";
import { sandboxPaths } from "./sandbox-paths.ts";
import { makeExt4, runTool } from "./testing/host-tools.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  vmTest,
} from "./testing/test-pod.ts";

vmTest(
  "files are copied into a pod without a shared directory, and a ConfigMap's change comes whole within 2 s",
  async () => {
    const id = testId();
    const place = testPlace();
    const logger = new TestLogger();
    const image = `${place.path}/root.img`;
    await makeExt4(image, 16, place.rootfs);
    const data = `${place.path}/data`;
    mkdirAll(`${data}/deep`, 0o750);
    writeFile(`${data}/deep/large`, new Uint8Array(3 << 20).fill(0x61), 0o640);
    writeFile(`${data}/empty`, "", 0o600);
    symlink("deep/large", `${data}/link`);
    const map = `${place.path}/pods/uid/volumes/kubernetes.io~configmap/settings`;
    const publish = (version: string) => {
      mkdirAll(`${map}/..${version}`);
      for (const file of ["first", "second"]) writeFile(`${map}/..${version}/${file}`, version, 0o644);
      symlink(`..${version}`, `${map}/..new`);
      rename(`${map}/..new`, `${map}/..data`);
    };
    publish("one");
    for (const file of ["first", "second"]) symlink(`..data/${file}`, `${map}/${file}`);
    const bind = (source: string, destination: string, mode: string): Mount => ({
      type: "bind",
      source,
      destination,
      options: ["rbind", mode],
    });
    const spec: Spec = testSpec(place.rootfs, [
      "sh",
      "-c",
      "while sleep 0.1; do cat /map/first /map/second; echo; done",
    ]);
    const mounts = [...(spec.mounts ?? []), bind(data, "/data", "rw"), bind(map, "/map", "ro")];
    const sandbox = await openSandbox({
      id,
      configuration: testConfiguration({ shared_fs: "none" }),
      spec,
      bundle: place.path,
      logger,
    });
    try {
      const rootfs = [{ type: "ext4", source: image, target: "", options: ["rw"] }];
      await sandbox.createContainer({ id: "c1", bundle: place.path, spec: { ...spec, mounts }, rootfs });
      await sandbox.startContainer("c1");
      const script =
        "ls -l /data /data/deep; wc -c < /data/link; md5sum < /data/deep/large; head -1 /proc/self/mountinfo";
      const process = testSpec("", ["sh", "-c", script]).process;
      assert(process !== undefined, "the specification has a process");
      await sandbox.exec({ containerId: "c1", execId: "look", process });
      const seen = utf8Decode(await readAll(sandbox, "c1", "look"));
      assert(
        /drwxr-x---.* deep\n-rw-------.* empty\nlrwxrwxrwx.* link -> deep\/large/.test(seen),
        `the tree in ${seen}`,
      );
      assert(seen.includes(`${3 << 20}\n`), `the size in ${seen}`);
      assert(/ - ext4 \/dev\/vda/.test(seen), `the root in ${seen}`);
      assertEqual(
        logger.of("warn").filter((line) => line.includes("stays in the guest")).length,
        1,
        "warnings",
      );

      // A line may come in parts.
      let text = "";
      const read = async () => {
        const bytes = await sandbox.readOutput({ containerId: "c1", execId: "" }, "stdout", 4096);
        text += utf8Decode(bytes);
      };
      await read();
      publish("two");
      const changed = loop.now();
      while (!text.includes("twotwo\n") && loop.now() < changed + 10_000) {
        await read();
        await sleep(loop, 50);
      }
      assert(loop.now() - changed < 4000, `${loop.now() - changed} ms until the change is read`);
      const lines = text.slice(0, text.lastIndexOf("\n")).split("\n");
      assertEqual([...new Set(lines)].sort(), ["oneone", "twotwo"]);

      // Of a directory a disk is made, with its owners and modes, and no file is left of it.
      const other = `${place.path}/other`;
      await runTool("/bin/cp", "-a", place.rootfs, other);
      chmod(other, 0o751);
      chown(`${other}/tmp`, 12, 34);
      const words = ["sh", "-c", "ls -ldn / /tmp; ls /; echo written > /new && cat /new"];
      const second = testSpec(other, words);
      await sandbox.createContainer({ id: "c2", bundle: place.path, spec: second, rootfs: [] });
      assertEqual(readDirectory(sandboxPaths(id).disks), [], "the disk has no name");
      await sandbox.startContainer("c2");
      const told = utf8Decode(await readAll(sandbox, "c2"));
      assert(/^drwxr-x--x +\d+ 0 +0 /.test(told), `the root's mode in ${told}`);
      assert(/\ndrwx\S+ +\d+ 12 +34 .* \/tmp\n/.test(told), `an owner in ${told}`);
      assert(told.includes("written\n") && !told.includes("lost+found"), told);
      assert(!exists(`${other}/new`), "what it writes stays in the disk");
    } finally {
      await sandbox.stop();
      place[Symbol.dispose]();
    }
    await expectNoTraces(id);
  },
);

runTests();
