/**
 * What can be asked of a pod's shim over its management socket, beside containerd's own protocol: one entry a method and path.
 * Source: upstream Kata Containers, management interface of the shim.
 */
import { hasCode, KataError } from "../../kata-error.ts";
import type { HttpRequest, HttpResponse } from "../../rpc/http/http-message.ts";
import type { IpFamily, Sandbox, VolumeStatistics } from "../../sandbox/types.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

export interface Route {
  readonly methods: readonly string[];
  readonly path: string;
  readonly answer: (sandbox: Sandbox, request: HttpRequest) => Promise<HttpResponse>;
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
];

/** The answer to `request`; a failure is an answer, too. */
export async function answer(
  sandbox: Sandbox,
  request: HttpRequest,
  routes: readonly Route[] = ROUTES,
): Promise<HttpResponse> {
  const here = routes.filter(({ path }) => path === request.path);
  if (here.length === 0) return text(404, `there is no ${request.path}\n`);
  const route = here.find(({ methods }) => methods.includes(request.method));
  if (route === undefined) {
    const methods = here.flatMap((each) => each.methods).join(", ");
    return text(405, `${request.path} takes ${methods}\n`);
  }
  return await route.answer(sandbox, request);
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
