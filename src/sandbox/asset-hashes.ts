/**
 * The digests that a pod demands of what its machine is started from, by annotations.
 *
 * The host's own program makes them: megabytes are not for this engine.
 * Source: upstream's runtime, `io.katacontainers.config.hypervisor.*_hash`.
 */
import type { Configuration } from "../config/index.ts";
import { hasErrno, KataError } from "../kata-error.ts";
import { withDeadline } from "../sys/clock.ts";
import { FileDescriptor } from "../sys/descriptor.ts";
import { loop } from "../sys/event-loop.ts";
import { FdStream } from "../sys/fd-stream.ts";
import { O_RDONLY, open } from "../sys/files.ts";
import { pipe } from "../sys/pipe.ts";
import { SIGKILL } from "../sys/process.ts";
import { type ChildProcess, spawn } from "../sys/spawn.ts";
import { utf8Decode } from "../sys/utf8.ts";

export interface AssetHash {
  /** The annotation's name behind its prefix, for messages. */
  readonly name: string;
  readonly path: string;
  /** Hexadecimal, in lower case. */
  readonly expected: string;
}

const HEXADECIMAL_SHA512 = /^[0-9a-f]{128}$/;
const PROGRAM = "/usr/bin/sha512sum";
/** Gigabytes take seconds, ms. */
const DEADLINE_MS = 60_000;

/** What is to be checked; nothing if the pod demands nothing. @throws KataError `invalid-argument` for what is no digest. */
export function assetHashes({ hypervisor }: Configuration): AssetHash[] {
  const wanted: readonly (readonly [name: string, path: string, hash: string])[] = [
    ["kernel_hash", hypervisor.kernel, hypervisor.kernel_hash],
    ["image_hash", hypervisor.image, hypervisor.image_hash],
    ["initrd_hash", hypervisor.initrd, hypervisor.initrd_hash],
    ["path_hash", hypervisor.path, hypervisor.path_hash],
    ["jailer_hash", hypervisor.jailer_path, hypervisor.jailer_hash],
    ["firmware_hash", hypervisor.firmware, hypervisor.firmware_hash],
    ["firmware_volume_hash", hypervisor.firmware_volume, hypervisor.firmware_volume_hash],
  ];
  return wanted
    .filter(([, , hash]) => hash !== "")
    .map(([name, path, hash]) => {
      const expected = hash.toLowerCase();
      if (path === "") throw refused("invalid-argument", name, "the machine has no such file");
      // The one kind there is, so that the key is kept.
      if (hypervisor.asset_hash_type !== "sha512" || !HEXADECIMAL_SHA512.test(expected)) {
        throw refused("invalid-argument", name, "it is a SHA-512 digest, 128 hexadecimal digits");
      }
      return { name, path, expected };
    });
}

/** @throws KataError `permission-denied` for a file that is another one. */
export async function checkAssetHashes(hashes: readonly AssetHash[]): Promise<void> {
  for (const { name, path, expected } of hashes) {
    const found = await sha512OfFile(path);
    if (found === expected) continue;
    throw refused(
      "permission-denied",
      `${name}: ${path} has the digest ${found}`,
      "it is not the file that the pod demands",
    );
  }
}

async function sha512OfFile(path: string): Promise<string> {
  using output = pipe();
  using file = open(path, O_RDONLY);
  let child: ChildProcess;
  try {
    child = await spawn({
      path: PROGRAM,
      args: [PROGRAM],
      environment: ["LANG=C"],
      descriptors: [file.fd, output.writer.fd, "null"],
      parentDeathSignal: SIGKILL,
    });
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "EACCES")) throw error;
    throw refused(
      "unsupported",
      `${PROGRAM} of the host`,
      "install coreutils, or leave the annotations about digests out",
    );
  }
  output.writer.close();
  const reader = new FdStream(new FileDescriptor(output.reader.release()));
  try {
    const bytes = new Uint8Array(256);
    const what = { operation: "make digest", object: path };
    const count = await withDeadline(loop, DEADLINE_MS, what, reader.read(bytes));
    return utf8Decode(bytes.subarray(0, count)).split(" ")[0] ?? "";
  } finally {
    reader.close();
    child.kill(SIGKILL);
    await child.exited;
  }
}

function refused(code: string, object: string, hint: string): KataError {
  return new KataError(code, { operation: "check digests of the pod", object, hint });
}
