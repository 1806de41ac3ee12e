import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { errnoName } from "./errno.ts";
import { syscallTables } from "./syscall-numbers.ts";

const HEADERS = {
  x86_64: "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
  aarch64: "/usr/include/asm-generic/unistd.h",
} as const;

/** Names of the generic header for calls whose 64-bit form has another name. */
const GENERIC_NAMES: Readonly<Record<string, string>> = {
  fcntl: "3264_fcntl",
  statfs: "3264_statfs",
  fstatfs: "3264_fstatfs",
  ftruncate: "3264_ftruncate",
  lseek: "3264_lseek",
  sendfile: "3264_sendfile",
  mmap: "3264_mmap",
};

test.each(["x86_64", "aarch64"] as const)(
  "the numbers for %s are those of the kernel's header",
  (architecture) => {
    const path = HEADERS[architecture];
    if (!existsSync(path)) throw new Error(`${path} is missing: install linux-libc-dev`);
    const numbers = new Map(
      [...readFileSync(path, "utf8").matchAll(/^#define __NR(?:_(\w+)|(3264_\w+)) (\d+)$/gm)].map(
        ([, name, wide, number]) => [name ?? wide, Number(number)],
      ),
    );
    const wrong = Object.entries(syscallTables[architecture]).filter(([name, number]) => {
      const known = numbers.get(architecture === "aarch64" ? (GENERIC_NAMES[name] ?? name) : name);
      // A header older than a call does not have it.
      return known !== undefined && known !== number;
    });
    expect(wrong).toEqual([]);
    const found = Object.keys(syscallTables[architecture]).filter((name) =>
      numbers.has(architecture === "aarch64" ? (GENERIC_NAMES[name] ?? name) : name),
    );
    expect(found.length).toBeGreaterThan(150);
  },
);

test("both architectures have the same calls", () => {
  expect(Object.keys(syscallTables.aarch64)).toEqual(Object.keys(syscallTables.x86_64));
});

test("errnoName() has the names of the kernel's headers", () => {
  const text = ["errno-base.h", "errno.h"]
    .map((name) => readFileSync(`/usr/include/asm-generic/${name}`, "utf8"))
    .join("");
  const names = [...text.matchAll(/^#define\s+(E\w+)\s+(\d+)\b/gm)].map(([, name, number]) => [
    Number(number),
    name,
  ]);
  expect(names.length).toBeGreaterThan(120);
  for (const [number, name] of names) expect(errnoName(Number(number))).toBe(name);
  expect(errnoName(4095)).toBe("E#4095");
});
