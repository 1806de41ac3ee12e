/**
 * Taking an instance of containerd apart, whatever state it is in: after its own orderly end, or in a later run when the
 * process that started it was killed.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { mustRun } from "./command.ts";
import { Ctr } from "./ctr.ts";
import { eventually } from "./eventually.ts";
import { processesOf } from "./instance-processes.ts";
import type { InstanceAddress } from "./private-containerd.ts";
import { isAlive, killProcess } from "./processes.ts";
import { DEEPEST_RUN_DIRECTORY, RUN_DIRECTORIES } from "./run-directories.ts";

const KILL_DEADLINE_MS = 10_000;

/** From the root of all hierarchies: hierarchy, room of a runtime, group of a sandbox. */
const DEEPEST_CGROUP = 3;

interface ProcessIdentity {
  readonly pid: number;
  readonly startedAt: number;
}

/** What an instance notes about itself for later runs. */
export interface InstanceRecord {
  /** As long as this process lives, nobody else stops the instance. */
  readonly owner: ProcessIdentity;
  readonly daemon: ProcessIdentity;
  readonly address: InstanceAddress;
}

/** The file of the {@link InstanceRecord} in an instance's directory. */
export const RECORD_FILE = "instance.json";

/** Removes the instances that a killed run left behind. @returns their directories. */
export async function removeAbandonedInstances(prefix: string): Promise<string[]> {
  const removed: string[] = [];
  const parent = dirname(prefix);
  for (const name of readdirSync(parent)) {
    const directory = join(parent, name);
    if (!directory.startsWith(prefix)) continue;
    const record = readRecord(directory);
    if (record === undefined || isAlive(record.owner)) continue;
    // While the daemon lives, its shims can still clean up after themselves.
    if (isAlive(record.daemon)) await askForTheEnd(record.address);
    await removeInstance(directory);
    removed.push(directory);
  }
  return removed;
}

/** In good order, as far as that goes: what hangs or fails is killed next. */
async function askForTheEnd(address: InstanceAddress): Promise<void> {
  try {
    await new Ctr(address).removeEverything();
  } catch (error) {
    console.error(
      `${address.tag} does not end in good order: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** Kills what belongs to the instance in `directory`, unmounts and deletes what carries its name. */
export async function removeInstance(directory: string): Promise<void> {
  const tag = basename(directory);
  const record = readRecord(directory);
  // The daemon first, so that it does not start anything while the rest is killed.
  if (record !== undefined) killProcess(record.daemon, "SIGKILL");
  await eventually(
    `end of ${tag}'s processes`,
    KILL_DEADLINE_MS,
    () => {
      const left = processesOf(tag).filter((entry) => entry.state !== "Z");
      for (const entry of left) killProcess(entry, "SIGKILL");
      return left.length === 0 || undefined;
    },
    () =>
      processesOf(tag)
        .map((entry) => `${entry.pid} ${entry.argv.join(" ")}`)
        .join("\n"),
  );
  for (const target of mountsOf(tag)) await mustRun("umount", ["--lazy", target]);
  for (const path of [...shimSockets(directory, tag), ...runFilesOf(tag)]) {
    await rm(path, { recursive: true, force: true });
  }
  removeCgroups(tag);
  await rm(directory, { recursive: true, force: true });
}

function readRecord(directory: string): InstanceRecord | undefined {
  const file = join(directory, RECORD_FILE);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as InstanceRecord) : undefined;
}

/** Mount points with the tag in their path, the deepest first. */
function mountsOf(tag: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((target) => target.includes(tag))
    .reverse();
}

/** The sockets of shims that were killed, as their bundles name them. */
function shimSockets(directory: string, tag: string): string[] {
  const rooms = ["io.containerd.runtime.v2.task", "io.containerd.sandbox.controller.v1.shim"];
  return rooms
    .flatMap((room) => ["k8s.io", tag].map((namespace) => join(directory, "state", room, namespace)))
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path).map((id) => join(path, id, "address")))
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, "utf8").replace(/^unix:\/\//, ""))
    .filter((socket) => socket.startsWith("/run/containerd/s/"));
}

/** Files and directories below the run directories with the tag in their name. */
function runFilesOf(tag: string): string[] {
  const found: string[] = [];
  const walk = (directory: string, depth: number) => {
    if (!existsSync(directory)) return;
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.name.includes(tag)) found.push(path);
      else if (entry.isDirectory() && depth < DEEPEST_RUN_DIRECTORY) walk(path, depth + 1);
    }
  };
  for (const directory of RUN_DIRECTORIES) walk(directory, 1);
  return found;
}

/** Removes every group with the tag in its name and what is in it, all empty of processes by now. */
function removeCgroups(tag: string): void {
  const look = (directory: string, depth: number) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const group = join(directory, entry.name);
      if (!entry.isDirectory()) continue;
      if (entry.name.includes(tag)) removeCgroup(group);
      else if (depth > 1) look(group, depth - 1);
    }
  };
  look("/sys/fs/cgroup", DEEPEST_CGROUP);
}

function removeCgroup(group: string): void {
  for (const entry of readdirSync(group, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(group, entry.name));
  }
  rmdirSync(group);
}
