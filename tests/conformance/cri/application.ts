/**
 * A real application in one pod: a web server, a database whose data is on a volume, and a sidecar that shares their processes
 * and an emptyDir with the web server.
 *
 * It is visited from outside over the pod's network; the database is killed, by the sidecar, and started again as a kubelet does;
 * then it is visited again, and every visit has been counted.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../../harness/eventually.ts";
import type { CriInstance } from "./cri-instance.ts";
import { BUSYBOX_IMAGE, DATABASE_IMAGE, WEB_IMAGE } from "./image-table.ts";

/** A program's start on an emulated and busy processor, ms. */
const STEP_DEADLINE_MS = 60_000;

/** Visits before and after the restart, and how many of them are at the same time. */
const VISITS = 24;
const AT_A_TIME = 4;

/** The kernel's for a process that a signal ended: 128 + SIGKILL. */
const KILLED = 137;

/** Of each container's log, characters. */
const LOG_SHOWN = 2000;

/** Looks for the database in the processes of its neighbours, and shows the web server's visitors what it sees. */
const SIDECAR =
  "while :; do pidof redis-server > /shared/.new; mv /shared/.new /shared/database; sleep 0.2; done";

interface Pod {
  readonly id: string;
  readonly directory: string;
  /** File of the pod's configuration, which CRI wants again for each container. */
  readonly config: string;
}

/** @throws Error that says what did not happen, with the ends of the containers' logs. The instance removes the pod at its end. */
export async function runApplication(instance: CriInstance, progress: (text: string) => void): Promise<void> {
  const pod = await startPod(instance);
  try {
    await visitAndRestart(instance, pod, progress);
  } catch (error) {
    throw new Error(`the application: ${error instanceof Error ? error.message : error}\n${logsOf(pod)}`, {
      cause: error,
    });
  }
}

async function visitAndRestart(
  instance: CriInstance,
  pod: Pod,
  progress: (text: string) => void,
): Promise<void> {
  const volume = join(pod.directory, "volume");
  const shared = join(pod.directory, "empty-dir");
  const database = (attempt: number) =>
    startContainer(instance, pod, {
      name: "database",
      attempt,
      image: DATABASE_IMAGE,
      mounts: { "/data": volume },
    });
  const first = await database(0);
  await startContainer(instance, pod, {
    name: "web",
    attempt: 0,
    image: WEB_IMAGE,
    mounts: { "/shared": shared },
  });
  const sidecar = await startContainer(instance, pod, {
    name: "sidecar",
    attempt: 0,
    image: BUSYBOX_IMAGE,
    command: ["sh", "-c", SIDECAR],
    mounts: { "/shared": shared },
  });
  const address = await podAddress(instance, pod);
  const before = await databaseProcess(address);
  progress(`application: the pod answers at ${address}, its database is process ${before}`);

  // The first answer is 1 once the database listens: a connection that is refused counts nothing.
  await eventually("the database answers", STEP_DEADLINE_MS, async () =>
    (await visit(address)) === 1 ? true : undefined,
  );
  expectCounted(await visitOften(address), 2);
  progress(`application: ${VISITS} visits, ${AT_A_TIME} at a time, were all counted`);

  await instance.crictl(["exec", sidecar, "kill", "-9", `${before}`]);
  await eventually("the killed database has ended", STEP_DEADLINE_MS, async () => {
    const { state, exitCode } = await containerStatus(instance, first);
    if (state !== "CONTAINER_EXITED") return undefined;
    if (exitCode !== KILLED) throw new Error(`the database's exit code is ${exitCode}, not ${KILLED}`);
    return true;
  });
  await instance.crictl(["rm", first]);
  await database(1);
  const after = await eventually("the sidecar sees another database", STEP_DEADLINE_MS, async () => {
    const process = await databaseProcess(address);
    return process === before ? undefined : process;
  });
  progress(`application: the database is process ${after} after its restart`);

  await eventually("the new database answers", STEP_DEADLINE_MS, async () => {
    const count = await visit(address);
    if (count !== undefined && count !== VISITS + 2)
      throw new Error(`visit ${VISITS + 2} was counted as ${count}`);
    return count === undefined ? undefined : true;
  });
  expectCounted(await visitOften(address), VISITS + 3);
  progress("application: no visit was lost");
}

function logsOf({ directory }: Pod): string {
  const logs = join(directory, "logs");
  const text = (name: string) => readFileSync(join(logs, name), "utf8").slice(-LOG_SHOWN);
  return readdirSync(logs)
    .map((name) => `${name}:\n${text(name)}`)
    .join("\n");
}

async function startPod(instance: CriInstance): Promise<Pod> {
  const directory = join(instance.containerd.address.directory, "application");
  for (const name of ["volume", "empty-dir", "logs"]) mkdirSync(join(directory, name), { recursive: true });
  const config = join(directory, "pod.json");
  writeFileSync(
    config,
    JSON.stringify({
      metadata: { name: "application", namespace: "default", uid: "application-uid", attempt: 0 },
      log_directory: join(directory, "logs"),
      port_mappings: [{ container_port: 80 }],
      linux: { security_context: { namespace_options: { pid: 0 } } },
    }),
  );
  const id = (await instance.crictl(["runp", config])).trim();
  return { id, directory, config };
}

interface ContainerRequest {
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly command?: readonly string[];
  /** Directories of the host by where they are in the container. */
  readonly mounts: Readonly<Record<string, string>>;
}

async function startContainer(instance: CriInstance, pod: Pod, request: ContainerRequest): Promise<string> {
  const { name, attempt, image, command, mounts } = request;
  const file = join(pod.directory, `${name}-${attempt}.json`);
  writeFileSync(
    file,
    JSON.stringify({
      metadata: { name, attempt },
      image: { image },
      ...(command === undefined ? {} : { command }),
      log_path: `${name}-${attempt}.log`,
      mounts: Object.entries(mounts).map(([container_path, host_path]) => ({ container_path, host_path })),
      linux: { security_context: { namespace_options: { pid: 0 } } },
    }),
  );
  await instance.crictl(["pull", image]);
  const id = (await instance.crictl(["create", pod.id, file, pod.config])).trim();
  await instance.crictl(["start", id]);
  return id;
}

async function podAddress(instance: CriInstance, pod: Pod): Promise<string> {
  const status = JSON.parse(await instance.crictl(["inspectp", pod.id]));
  const ip: unknown = status?.status?.network?.ip;
  if (typeof ip !== "string" || ip === "") throw new Error("the pod has no address");
  return ip;
}

async function containerStatus(
  instance: CriInstance,
  id: string,
): Promise<{ readonly state: unknown; readonly exitCode: unknown }> {
  const { status } = JSON.parse(await instance.crictl(["inspect", id]));
  return { state: status.state, exitCode: status.exitCode };
}

/** The database's process as the sidecar sees it, in the namespace that the pod's containers share. */
function databaseProcess(address: string): Promise<number> {
  return eventually("the sidecar sees the database", STEP_DEADLINE_MS, async () => {
    const text = await get(address, "/database");
    return /^\d+\n$/.test(text ?? "") ? Number(text) : undefined;
  });
}

/** Counts one visit. @returns how many there are now; undefined if the database did not answer. */
async function visit(address: string): Promise<number | undefined> {
  const answer = /^:(\d+)\s*$/.exec((await get(address, "/count")) ?? "");
  return answer?.[1] === undefined ? undefined : Number(answer[1]);
}

/** {@link VISITS} visits, some of them at the same time. @returns what they were counted as, in ascending order. */
async function visitOften(address: string): Promise<(number | undefined)[]> {
  const counts: (number | undefined)[] = [];
  const visitor = async () => {
    while (counts.length < VISITS) {
      const place = counts.push(undefined) - 1;
      counts[place] = await visit(address);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, visitor));
  return counts.sort((a, b) => (a ?? 0) - (b ?? 0));
}

function expectCounted(counts: readonly (number | undefined)[], from: number): void {
  const expected = counts.map((_, index) => from + index);
  if (counts.length === VISITS && counts.every((count, index) => count === expected[index])) return;
  throw new Error(`visits were counted as ${counts.join(" ")}, not ${expected.join(" ")}`);
}

/** The body of a page; undefined as long as the server does not listen, or has no such page. */
async function get(address: string, path: string): Promise<string | undefined> {
  const signal = AbortSignal.timeout(STEP_DEADLINE_MS);
  const answer = await fetch(`http://${address}${path}`, { signal }).catch((error: unknown) => {
    if (error instanceof TypeError) return undefined;
    throw error;
  });
  return answer?.ok ? await answer.text() : undefined;
}
