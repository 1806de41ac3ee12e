/**
 * Writes the system call tables of the seccomp compiler from the kernel's headers.
 *
 * Run by a developer when the headers got newer: `npx tsx scripts/generate-syscall-tables.ts`. Needs linux-libc-dev (x86)
 * and a C preprocessor. What newer kernels added since is listed here: those numbers are the same everywhere.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const TABLES = join(import.meta.dirname, "../src/oci/seccomp");

/** Added after Linux 6.1, whose headers Debian 12 has. Source: linux/scripts/syscall.tbl of Linux 6.18. */
const FIRST_ADDED = 451;
const ADDED =
  "cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr";

/** What arm64's own header asks of the generic one. Source: arch/arm64/include/uapi/asm/unistd.h. */
const ARM64_CHOICES = [
  "RENAMEAT",
  "NEW_STAT",
  "SET_GET_RLIMIT",
  "TIME32_SYSCALLS",
  "SYS_CLONE3",
  "MEMFD_SECRET",
];

type Table = Map<number, string>;

/** The `__NR_` macros of `header` by number. */
function readHeader(header: string, ...options: string[]): Table {
  const macros = new Map<string, string>();
  const listing = execFileSync("cc", ["-E", "-dM", ...options, "-include", header, "-xc", "/dev/null"], {
    encoding: "utf8",
  });
  for (const line of listing.split("\n")) {
    const found = /^#define (__NR\w+) (.+)$/.exec(line);
    if (found?.[1] !== undefined && found[2] !== undefined) macros.set(found[1], found[2]);
  }
  const table: Table = new Map();
  for (const macro of macros.keys()) {
    const name = /^__NR_(\w+)$/.exec(macro)?.[1];
    // Ends of the list and of arm's range are no calls.
    if (name === undefined || name === "syscalls" || name === "arch_specific_syscall") continue;
    let value = macros.get(macro);
    while (value !== undefined && macros.has(value)) value = macros.get(value);
    const number = Number(/(\d+)\)?$/.exec(value ?? "")?.[1]);
    if (!Number.isInteger(number)) throw new Error(`${header}: ${macro} is ${value}`);
    table.set(number, name);
  }
  for (const [index, name] of ADDED.split(" ").entries()) table.set(FIRST_ADDED + index, name);
  return table;
}

/** Names in the order of their numbers; `+n` in front of one that leaves n numbers out. */
function encode(table: Table): string {
  let next = 0;
  return [...table]
    .sort(([a], [b]) => a - b)
    .map(([number, name]) => {
      const gap = number - next;
      next = number + 1;
      return gap === 0 ? name : `+${gap} ${name}`;
    })
    .join(" ");
}

function write(file: string, about: string, constants: Record<string, string>): void {
  const body = Object.entries(constants)
    .map(([name, text]) => `export const ${name} =\n  "${text}";\n`)
    .join("\n");
  writeFileSync(
    join(TABLES, file),
    `/** ${about} Written by scripts/generate-syscall-tables.ts. */\n\n${body}`,
  );
}

const FORM = "Names in the order of their numbers; `+n` leaves n numbers out.";
const x86_64 = readHeader("asm/unistd_64.h");
x86_64.set(335, "uretprobe");
const x32 = readHeader("asm/unistd_x32.h");
const i386 = readHeader("asm/unistd_32.h");
const aarch64 = readHeader(
  "asm-generic/unistd.h",
  "-D__BITS_PER_LONG=64",
  ...ARM64_CHOICES.map((choice) => `-D__ARCH_WANT_${choice}`),
);

const numberOf = new Map([...x86_64].map(([number, name]) => [name, number]));
const ownNumbers: Table = new Map([...x32].filter(([number, name]) => numberOf.get(name) !== number));
const inX32 = new Set(x32.values());
const missing = [...numberOf.keys()].filter((name) => !inX32.has(name));
write("syscall-table-x86-64.ts", `System calls of x86_64, and how x32 differs. ${FORM}`, {
  X86_64_SYSCALLS: encode(x86_64),
  X32_OWN_SYSCALLS: encode(ownNumbers),
  X32_MISSING_SYSCALLS: missing.join(" "),
});
write("syscall-table-i386.ts", `System calls of 32-bit x86. ${FORM}`, { I386_SYSCALLS: encode(i386) });
write("syscall-table-aarch64.ts", `System calls of aarch64. ${FORM}`, { AARCH64_SYSCALLS: encode(aarch64) });
