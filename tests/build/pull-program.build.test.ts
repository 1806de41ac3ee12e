import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../stages.ts";

const PROGRAM = join(ROOT, "build/bin/kata-pull");
const BYTES = 3_000_000;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-pull-"));
  writeFileSync(join(directory, "layer"), gzipSync(Buffer.alloc(BYTES)));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Decompresses the layer as the agent does: from descriptor 3 to descriptor 4. */
function unpack(most: string) {
  const [from, to] = [openSync(join(directory, "layer"), "r"), openSync(join(directory, "out"), "w")];
  try {
    const stdio = ["ignore", "pipe", "pipe", from, to] as const;
    const { status, stderr } = spawnSync(PROGRAM, ["unpack", "gzip", most], { stdio: [...stdio] });
    return { status, stderr: String(stderr), written: statSync(join(directory, "out")).size };
  } finally {
    for (const descriptor of [from, to]) closeSync(descriptor);
  }
}

test("kata-pull decompresses a layer up to the bytes that it is told, and nothing beyond", () => {
  expect(unpack(`${BYTES}`)).toEqual({ status: 0, stderr: "", written: BYTES });
  const { status, stderr, written } = unpack(`${BYTES - 1}`);
  expect({ status, stderr }).toEqual({
    status: 3,
    stderr: "the layer is larger than the guest has room for\n",
  });
  expect(written).toBeLessThan(BYTES);
  expect(unpack("many").status).not.toBe(0);
});
