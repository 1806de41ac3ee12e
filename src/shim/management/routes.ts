/**
 * What can be asked of a pod's shim over its management socket, beside containerd's own protocol: one entry a method and path.
 * Source: upstream Kata Containers, management interface of the shim.
 */
import { hasCode, KataError } from "../../kata-error.ts";
import type { HttpRequest, HttpResponse } from "../../rpc/http/http-message.ts";
import type { IpFamily, Sandbox, VolumeStatistics } from "../../sandbox/types.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { VERSION } from "../../version.ts";
import { execServer } from "./exec-route.ts";
import type { ManagedPod } from "./managed-pod.ts";
import { podMetrics } from "./shim-metrics.ts";

/** An answer, or one that has been given: the connection speaks another protocol from then on. */
export type Answer = HttpResponse | { readonly serve: () => Promise<void> };

export interface Route {
  readonly methods: readonly string[];
  readonly path: string;
  readonly answer: (
    sandbox: Sandbox,
    request: HttpRequest,
    pod: ManagedPod,
    stream: FdStream,
  ) => Promise<Answer>;
}

const ROUTES: readonly Route[] = [
  // Upstream's runtime in Go asks with GET, the one in Rust with POST.
  { methods: ["GET", "POST"], path: "/direct-volume/stats", answer: volumeStats },
  { methods: ["POST"], path: "/direct-volume/resize", answer: resizeVolume },
  { methods: ["GET"], path: "/iptables", answer: (sandbox) => packetFilter(sandbox, "ipv4") },
  { methods: ["GET"], path: "/ip6tables", answer: (sandbox) => packetFilter(sandbox, "ipv6") },
  { methods: ["PUT"], path: "/iptables", answer: (sandbox, { body }) => filter(sandbox, "ipv4", body) },
  { methods: ["PUT"], path: "/ip6tables", answer: (sandbox, { body }) => filter(sandbox, "ipv6", body) },
  { methods: ["PUT"], path: "/policy", answer: setPolicy },
  { methods: ["GET"], path: "/metrics", answer: async (_, __, pod) => metrics(pod) },
  { methods: ["GET"], path: "/agent-url", answer: async (sandbox) => agentUrl(sandbox) },
  // These are ours.
  { methods: ["GET"], path: "/pod", answer: async (_, __, pod) => json(describePod(pod)) },
  { methods: ["GET"], path: "/statistics", answer: async (_, __, pod) => json(await statistics(pod)) },
  { methods: ["GET"], path: "/logs/shim", answer: async (_, __, pod) => text(200, pod.log()) },
  { methods: ["GET"], path: "/logs/guest", answer: async (sandbox) => text(200, guestLog(sandbox)) },
  {
    methods: ["POST"],
    path: "/exec",
    answer: async (sandbox, { body }, _, stream) => ({ serve: execServer(sandbox, body, stream) }),
  },
];

/** The answer to `request`; a failure is an answer, too. */
export async function answer(
  pod: ManagedPod,
  request: HttpRequest,
  stream: FdStream,
  routes: readonly Route[] = ROUTES,
): Promise<Answer> {
  const here = routes.filter(({ path }) => path === request.path);
  if (here.length === 0) return text(404, `there is no ${request.path}\n`);
  const route = here.find(({ methods }) => methods.includes(request.method));
  if (route === undefined) {
    const methods = here.flatMap((each) => each.methods).join(", ");
    return text(405, `${request.path} takes ${methods}\n`);
  }
  return await route.answer(pod.sandbox, request, pod, stream);
}

/** What a failure is as an answer. */
export function failureAnswer(error: unknown): HttpResponse {
  if (!(error instanceof KataError)) return text(500, "internal error, see the shim's log\n");
  return text(statusOf(error), `${error.message}\n`);
}

function statusOf(error: KataError): number {
  if (hasCode(error, "not-found")) return 404;
  if (hasCode(error, "invalid-argument", "invalid-data", "malformed-message")) return 400;
  if (hasCode(error, "permission-denied")) return 403;
  if (hasCode(error, "out-of-range")) return 413;
  if (hasCode(error, "unimplemented", "unsupported")) return 501;
  return hasCode(error, "unavailable") ? 503 : 500;
}

export function text(status: number, body: string, contentType = "text/plain; charset=utf-8"): HttpResponse {
  return { status, contentType, body: utf8Encode(body) };
}

function json(value: unknown): HttpResponse {
  return text(200, JSON.stringify(value), "application/json");
}

async function metrics(pod: ManagedPod): Promise<HttpResponse> {
  return text(200, await podMetrics(pod), "text/plain; version=0.0.4; charset=utf-8");
}

function agentUrl(sandbox: Sandbox): HttpResponse {
  const { agentUrl: url } = sandbox.insight.describe();
  if (url !== undefined) return text(200, url);
  return text(501, "the agent is reached over a serial port, and only by the shim\n");
}

/** What `ps` and `inspect` show. */
function describePod({ sandbox, pid, containers }: ManagedPod): unknown {
  return {
    sandbox: sandbox.insight.describe(),
    shim: { pid, version: VERSION },
    containers: containers().map(({ facts, init, execs }) => ({
      id: facts.id,
      bundle: facts.bundle,
      state: init.state.name,
      ...(init.state.name === "stopped"
        ? { exitStatus: init.state.exit.status, exitedAt: init.state.exit.at }
        : {}),
      execs: execs.filter(({ state }) => state.name === "running").length,
    })),
  };
}

/** What `top` shows, for each container that runs: nanoseconds of processor time, bytes, processes. */
async function statistics({ sandbox, containers }: ManagedPod): Promise<unknown> {
  const running = containers().filter(({ init }) => init.state.name === "running");
  return await Promise.all(
    running.map(async ({ id }) => {
      const { cpu, memory, pids } = await sandbox.stats(id);
      return { id, cpu: cpu.total, memory: memory.usage, memoryLimit: memory.limit, pids: pids.current };
    }),
  );
}

function guestLog({ insight }: Sandbox): string {
  const lines = insight.consoleLines();
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** The body is the policy as it is. */
async function setPolicy(sandbox: Sandbox, { body }: HttpRequest): Promise<HttpResponse> {
  await sandbox.setPolicy(utf8Decode(body));
  return text(200, "");
}

async function volumeStats(sandbox: Sandbox, { query }: HttpRequest): Promise<HttpResponse> {
  const path = query.get("path");
  if (path === undefined) return text(400, "the query lacks path=\n");
  return text(200, statisticsJson(await sandbox.volumeStats(path)), "application/json");
}

/** As Go writes protobuf messages: the unit by its number, numbers of 64 bits as they are. */
function statisticsJson({ usage, condition }: VolumeStatistics): string {
  const usages = usage.map(
    ({ unit, total, available, used }) =>
      `{"available":${available},"total":${total},"used":${used},"unit":${unit === "bytes" ? 1 : 2}}`,
  );
  const { abnormal, message } = condition;
  return `{"usage":[${usages.join(",")}],"volume_condition":${JSON.stringify({ abnormal, message })}}`;
}

async function resizeVolume(sandbox: Sandbox, { body }: HttpRequest): Promise<HttpResponse> {
  const { path, bytes } = parseResize(utf8Decode(body));
  await sandbox.resizeVolume(path, bytes);
  return text(200, "");
}

async function packetFilter(sandbox: Sandbox, family: IpFamily): Promise<HttpResponse> {
  return { ...text(200, ""), body: await sandbox.packetFilter(family) };
}

async function filter(sandbox: Sandbox, family: IpFamily, rules: Uint8Array): Promise<HttpResponse> {
  return { ...text(200, ""), body: await sandbox.setPacketFilter(family, rules) };
}

/** `{"VolumePath": …, "Size": …}` of the runtime in Go, `{"volume_guest_path": …, "size": …}` of the one in Rust. */
function parseResize(json: string): { readonly path: string; readonly bytes: bigint } {
  const value = parseObject(json);
  const path = value.VolumePath ?? value.volume_guest_path;
  const bytes = value.Size ?? value.size;
  if (
    typeof path === "string" &&
    path !== "" &&
    typeof bytes === "number" &&
    Number.isSafeInteger(bytes) &&
    bytes > 0
  ) {
    return { path, bytes: BigInt(bytes) };
  }
  throw badResize(json);
}

function parseObject(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw badResize(json);
}

function badResize(json: string): KataError {
  return new KataError("invalid-argument", {
    operation: "resize volume",
    object: JSON.stringify(json.slice(0, 200)),
    hint: 'it is {"VolumePath": PATH, "Size": BYTES}',
  });
}
