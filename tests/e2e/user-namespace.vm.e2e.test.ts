import { chownSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { test } from "../harness/workbench.ts";

const MAPS = ["--uidmap", "0:1000:65536", "--gidmap", "0:2000:65536"];

describe("a container in a user namespace", () => {
  test("has a root that is somebody else outside of it, on its volumes too", async ({ bench }) => {
    chownSync(bench.scratch, 1000, 2000);
    const script = [
      "cat /proc/self/uid_map /proc/self/gid_map",
      "id -u",
      "stat -c %u:%g /etc/passwd",
      "touch /data/made && stat -c %u:%g /data/made",
      "mknod /data/null c 1 3 2>/dev/null || echo no devices",
    ].join("; ");
    const volume = `type=bind,src=${bench.scratch},dst=/data,options=rbind:rw`;
    const { status, stdout, stderr } = await bench.run(script, [...MAPS, "--mount", volume]);
    expect({
      status,
      stderr,
      lines: stdout.split("\n").map((line) => line.trim().replace(/ +/g, " ")),
    }).toEqual({
      status: 0,
      stderr: "",
      lines: ["0 1000 65536", "0 2000 65536", "0", "0:0", "0:0", "no devices", ""],
    });
    const { uid, gid } = statSync(join(bench.scratch, "made"));
    expect({ uid, gid }).toEqual({ uid: 1000, gid: 2000 });
  });
});
