import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { subject } from "../harness/subject.ts";
import { test } from "../harness/workbench.ts";

function bind(source: string, target: string, mode: "rw" | "ro"): string[] {
  return ["--mount", `type=bind,src=${source},dst=${target},options=rbind:${mode}`];
}

describe("a bind-mounted host directory", () => {
  test.skipIf(!subject.sharesFiles)(
    "read-write: the workload reads the host's files and the host its results, owners and modes kept",
    async ({ bench }) => {
      writeFileSync(join(bench.scratch, "in"), "3\n4\n");
      const script =
        "read a < /d/in; sum=0; while read n; do sum=$((sum+n)); done < /d/in; echo $sum > /d/out; ";
      const owner =
        "chown 1234:5678 /d/out; chmod 640 /d/out; mkdir /d/sub; ln -s out /d/link; stat -c %u /d/in";
      const result = await bench.run(script + owner, bind(bench.scratch, "/d", "rw"));
      expect(result).toMatchObject({ status: 0, stdout: "0\n", stderr: "" });
      expect(readFileSync(join(bench.scratch, "out"), "utf8")).toBe("7\n");
      expect(readFileSync(join(bench.scratch, "link"), "utf8")).toBe("7\n");
      const { uid, gid, mode } = statSync(join(bench.scratch, "out"));
      expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ uid: 1234, gid: 5678, mode: 0o640 });
      expect(statSync(join(bench.scratch, "sub")).isDirectory()).toBe(true);
    },
  );

  test("read-only: every write is refused and the host's files stay as they were", async ({ bench }) => {
    writeFileSync(join(bench.scratch, "in"), "data\n");
    const attempts = ["echo x > /d/in", "echo x > /d/new", "rm /d/in", "mkdir /d/sub", "chmod 777 /d/in"];
    const script = `cat /d/in; ${attempts.map((attempt) => `(${attempt}) 2>&1 || echo refused;`).join(" ")}`;
    const result = await bench.run(script, bind(bench.scratch, "/d", "ro"));
    expect(result.status).toBe(0);
    const lines = result.stdout.trim().split("\n");
    expect(lines[0]).toBe("data");
    expect(lines.filter((line) => line === "refused")).toHaveLength(attempts.length);
    expect(lines.filter((line) => line.includes("Read-only file system"))).toHaveLength(attempts.length);
    expect(readFileSync(join(bench.scratch, "in"), "utf8")).toBe("data\n");
  });

  test.skipIf(!subject.sharesFiles)(
    "changes on the host are seen by a running container",
    async ({ bench }) => {
      const id = await bench.detach("while :; do sleep 1; done", bind(bench.scratch, "/d", "rw"));
      writeFileSync(join(bench.scratch, "late"), "first");
      expect(await bench.exec(id, "cat /d/late")).toMatchObject({ status: 0, stdout: "first" });
      writeFileSync(join(bench.scratch, "late"), "second, longer");
      await expect
        .poll(async () => (await bench.exec(id, "cat /d/late")).stdout, { timeout: 10_000 })
        .toBe("second, longer");
    },
  );

  test("a link in it leads inside of the container, never to the host's files", async ({ bench }) => {
    writeFileSync(join(bench.scratch, "secret"), "host's secret");
    const shared = join(bench.scratch, "shared");
    mkdirSync(shared);
    symlinkSync(join(bench.scratch, "secret"), join(shared, "absolute"));
    symlinkSync("../secret", join(shared, "relative"));
    const result = await bench.run("cat /d/absolute || cat /d/relative", bind(shared, "/d", "rw"));
    expect(result.status).not.toBe(0);
    expect(result.stdout).toBe("");
  });

  test("that does not exist is named, and no container starts", async ({ bench }) => {
    const missing = join(bench.scratch, "missing");
    const result = await bench.run("echo started", bind(missing, "/d", "rw"));
    expect(result.status).not.toBe(0);
    expect(result.stdout).toBe("");
    expect(result.stderr).toContain(missing);
  });
});

describe("other mounts", () => {
  test("a single file is bound over the image's", async ({ bench }) => {
    const file = join(bench.scratch, "motd");
    writeFileSync(file, "from the host\n");
    const result = await bench.run("cat /etc/motd", bind(file, "/etc/motd", "ro"));
    expect(result).toMatchObject({ status: 0, stdout: "from the host\n" });
  });

  test("a tmpfs is empty, writable and as big as it was asked to be", async ({ bench }) => {
    const flags = ["--mount", "type=tmpfs,src=tmpfs,dst=/t,options=size=1m:nosuid"];
    const script =
      "ls /t | wc -l; dd if=/dev/zero of=/t/f bs=64k count=8 2>/dev/null && echo fits; " +
      "dd if=/dev/zero of=/t/g bs=64k count=32 2>/dev/null || echo full";
    expect(await bench.run(script, flags)).toMatchObject({ status: 0, stdout: "0\nfits\nfull\n" });
  });

  test("a read-only root file system refuses writes", async ({ bench }) => {
    const result = await bench.run("echo x > /etc/x || echo refused; echo y > /run/y && echo run", [
      "--read-only",
    ]);
    expect(result.stdout).toBe("refused\nrun\n");
  });
});
