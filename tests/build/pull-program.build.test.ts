import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../stages.ts";

const PROGRAM = join(ROOT, "build/bin/kata-pull");
const BYTES = 3_000_000;
/** So many zeros by the command `zstd -19 --check`, which not every machine has. */
const ZSTD = Buffer.from(
  "KLUv/QRoTAAACAABAPz/ORACAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAzYOAAPJr9Y=",
  "base64",
);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-pull-"));
  writeFileSync(join(directory, "gzip"), gzipSync(Buffer.alloc(BYTES)));
  writeFileSync(join(directory, "zstd"), ZSTD);
  writeFileSync(join(directory, "cut"), ZSTD.subarray(0, -6));
  writeFileSync(join(directory, "damaged"), Buffer.from(ZSTD).fill(0xff, 8, 12));
  writeFileSync(join(directory, "two"), Buffer.concat([ZSTD, ZSTD]));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Decompresses the layer as the agent does: from descriptor 3 to descriptor 4. */
function unpack(most: string, layer = "gzip", format = layer) {
  const [from, to] = [openSync(join(directory, layer), "r"), openSync(join(directory, "out"), "w")];
  try {
    const stdio = ["ignore", "pipe", "pipe", from, to] as const;
    const { status, stderr } = spawnSync(PROGRAM, ["unpack", format, most], { stdio: [...stdio] });
    return { status, stderr: String(stderr), written: statSync(join(directory, "out")).size };
  } finally {
    for (const descriptor of [from, to]) closeSync(descriptor);
  }
}

test.each(["gzip", "zstd"])(
  "kata-pull decompresses a layer, %s, up to the bytes that it is told, and nothing beyond",
  (format) => {
    expect(unpack(`${BYTES}`, format)).toEqual({ status: 0, stderr: "", written: BYTES });
    const { status, stderr, written } = unpack(`${BYTES - 1}`, format);
    expect({ status, stderr }).toEqual({
      status: 3,
      stderr: "the layer is larger than the guest has room for\n",
    });
    expect(written).toBeLessThan(BYTES);
    expect(unpack("many", format).status).not.toBe(0);
  },
);

test("kata-pull reads frames of zstd one after the other, and refuses one that is cut off or damaged", () => {
  expect(unpack(`${2 * BYTES}`, "two", "zstd")).toEqual({ status: 0, stderr: "", written: 2 * BYTES });
  expect(unpack(`${BYTES}`, "cut", "zstd")).toMatchObject({
    status: 3,
    stderr: "zstd: the data ends too early\n",
  });
  expect(unpack(`${BYTES}`, "damaged", "zstd")).toMatchObject({
    status: 3,
    stderr: expect.stringMatching(/^zstd: /),
  });
});
