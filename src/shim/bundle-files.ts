/** What the shim keeps in a container's bundle, for containerd, for people and for its own `delete`. */
import { readTextFileIfExists, replaceFile, unlinkIfExists } from "../sys/files.ts";

/** Address of the shim; containerd up to 1.7 and CRI-O find it again by this after a restart. */
export function writeAddress(bundle: string, address: string): void {
  replaceFile(`${bundle}/address`, address);
}

export function readAddress(bundle: string): string | undefined {
  return readTextFileIfExists(`${bundle}/address`)?.trim();
}

/** Pid of the shim that serves. */
export function writeShimPid(bundle: string, pid: number): void {
  replaceFile(`${bundle}/shim.pid`, String(pid));
}

export function readShimPid(bundle: string): number | undefined {
  const text = readTextFileIfExists(`${bundle}/shim.pid`)?.trim() ?? "";
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined;
}

/**
 * Notes that this bundle has a sandbox on the host. What lies there goes by the id alone, which two namespaces of containerd may
 * both use: without the note, `delete` for one would take the other's.
 *
 * @returns takes the note back.
 */
export function claimSandbox(bundle: string): () => void {
  replaceFile(claimPath(bundle), "");
  return () => {
    unlinkIfExists(claimPath(bundle));
  };
}

export function hasClaimedSandbox(bundle: string): boolean {
  return readTextFileIfExists(claimPath(bundle)) !== undefined;
}

function claimPath(bundle: string): string {
  return `${bundle}/kata-sandbox`;
}

/** Notes that hooks of the container have run, so that those for its end have to. @returns takes the note back. */
export function noteHooks(bundle: string): () => void {
  replaceFile(hooksPath(bundle), "");
  return () => forgetHooks(bundle);
}

/** Takes the note of {@link noteHooks} back. */
export function forgetHooks(bundle: string): void {
  unlinkIfExists(hooksPath(bundle));
}

/** Whether hooks for the end of the container are still to run. */
export function owesHooks(bundle: string): boolean {
  return readTextFileIfExists(hooksPath(bundle)) !== undefined;
}

function hooksPath(bundle: string): string {
  return `${bundle}/kata-hooks`;
}

/** What CRI-O looks for after a container has ended. */
export function writeOutOfMemory(bundle: string): void {
  replaceFile(`${bundle}/oom`, "");
}
