/** What kata-monitor serves. Source: upstream Kata Containers, kata-monitor's endpoints. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { describeError, hasCode } from "../kata-error.ts";
import { MetricFamilies } from "../sys/metrics/metric-families.ts";
import { Durations, family } from "../sys/metrics/prometheus-text.ts";
import type { PodNames } from "./pod-names.ts";
import type { Shims } from "./shims.ts";

/** Shims that are asked at the same time. */
const PARALLEL = 16;
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const ENDPOINTS: readonly (readonly [path: string, what: string])[] = [
  [
    "/metrics",
    "the figures of all sandboxes, or with ?sandbox=ID of one; ?filter_family=NAME keeps one family",
  ],
  ["/sandboxes", "the sandboxes whose shims answer"],
  ["/agent-url?sandbox=ID", "where the agent of a sandbox is reached"],
  ["/debug/vars?sandbox=ID", "what the shim tells of itself, if it does"],
  ["/debug/pprof/?sandbox=ID", "its profiles, if it has any"],
];

export interface MonitorLog {
  debug(message: string): void;
  warn(message: string): void;
}

export interface MonitorParts {
  readonly shims: Shims;
  readonly names: PodNames;
  readonly log: MonitorLog;
}

interface Reply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Buffer;
}

export class Monitor {
  readonly #parts: MonitorParts;
  readonly #durations = new Durations();
  readonly #startedAt = Date.now();
  #scrapes = 0;
  #failures = 0;

  constructor(parts: MonitorParts) {
    this.#parts = parts;
  }

  /** The HTTP server; the caller lets it listen. */
  server(): Server {
    return createServer((request, response) => {
      void this.#attend(request, response);
    });
  }

  async #attend(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let reply: Reply;
    try {
      reply = await this.#reply(request);
    } catch (error) {
      const status = hasCode(error, "not-found") ? 404 : hasCode(error, "unavailable") ? 502 : 500;
      if (status === 500) this.#parts.log.warn(describeError(error));
      reply = text(status, `${describeError(error)}\n`);
    }
    const isZipped = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
    const body = isZipped ? await promisify(gzip)(reply.body) : Buffer.from(reply.body);
    response.writeHead(reply.status, {
      "content-type": reply.contentType,
      "content-length": body.length,
      ...(isZipped ? { "content-encoding": "gzip", vary: "accept-encoding" } : {}),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  async #reply(request: IncomingMessage): Promise<Reply> {
    if (request.method !== "GET" && request.method !== "HEAD") return text(405, "it is asked by GET\n");
    const url = new URL(request.url ?? "/", "http://monitor");
    const wantsHtml = /text\/html/.test(String(request.headers.accept ?? ""));
    const sandbox = url.searchParams.get("sandbox") ?? "";
    if (url.pathname === "/") return index(wantsHtml);
    if (url.pathname === "/sandboxes") return sandboxes(this.#parts.shims.ids(), wantsHtml);
    if (url.pathname === "/metrics") {
      const only = url.searchParams.getAll("filter_family").flatMap((names) => names.split(","));
      const ids = sandbox === "" ? this.#parts.shims.ids() : [sandbox];
      return { status: 200, contentType: METRICS_TYPE, body: await this.#metrics(ids, sandbox === "", only) };
    }
    if (url.pathname === "/agent-url" || /^\/debug\/(vars|pprof(\/.*)?)$/.test(url.pathname)) {
      if (sandbox === "") return text(400, "the query lacks sandbox=\n");
      url.searchParams.delete("sandbox");
      return await this.#parts.shims.ask(sandbox, `${url.pathname}${url.search}`);
    }
    return text(404, `there is no ${url.pathname}\n`);
  }

  async #metrics(ids: readonly string[], withOwn: boolean, only: readonly string[]): Promise<string> {
    const began = performance.now();
    this.#scrapes++;
    const families = new MetricFamilies(only);
    const names = await this.#parts.names.of(ids);
    const waiting = [...ids];
    const answers = new Map<string, string>();
    const ask = async () => {
      for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
        const answer = await this.#scrape(id, ids.length === 1 && !withOwn);
        if (answer !== undefined) answers.set(id, answer);
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, ids.length) }, ask));
    for (const id of ids) {
      const { uid = "", name = "", namespace = "" } = names.get(id) ?? {};
      const labels = { sandbox_id: id, cri_uid: uid, cri_name: name, cri_namespace: namespace };
      families.add(answers.get(id) ?? "", labels);
    }
    this.#durations.observe("scrape", performance.now() - began);
    if (withOwn) families.add(this.#own(ids.length));
    return families.text;
  }

  /** @returns undefined if the shim has no answer; a sandbox may end at any time. @throws KataError if that is all that was wanted. */
  async #scrape(id: string, isAll: boolean): Promise<string | undefined> {
    try {
      const { status, body } = await this.#parts.shims.ask(id, "/metrics");
      if (status === 200) return body.toString("utf8");
      this.#parts.log.warn(`metrics of ${id}: status ${status}`);
    } catch (error) {
      if (isAll) throw error;
      this.#parts.log.debug(`metrics of ${id}: ${describeError(error)}`);
    }
    this.#failures++;
    return undefined;
  }

  #own(shims: number): string {
    const { rss } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const one = (name: string, help: string, value: number, type: "gauge" | "counter" = "gauge") =>
      family(`kata_monitor_${name}`, help, [[{}, value]], type);
    return [
      one("running_shim_count", "Shims that run.", shims),
      one("scrape_count", "Scrapes so far.", this.#scrapes, "counter"),
      one("scrape_failed_count", "Shims that did not answer a scrape.", this.#failures, "counter"),
      this.#durations
        .text("kata_monitor_scrape_durations_histogram_milliseconds", "How long scrapes of all shims took.")
        .replaceAll('action="scrape",', "")
        .replaceAll('{action="scrape"}', ""),
      one("process_resident_memory_bytes", "Resident memory of the monitor.", rss),
      one("process_cpu_seconds_total", "Processor time of the monitor.", (user + system) / 1e6, "counter"),
      one("process_start_time_seconds", "When the monitor was started, since 1970.", this.#startedAt / 1000),
    ].join("");
  }
}

function text(status: number, body: string): Reply {
  return { status, contentType: "text/plain; charset=utf-8", body };
}

function html(title: string, items: readonly string[]): Reply {
  const list = items.map((item) => `<li>${item}</li>\n`).join("");
  const body = `<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>\n<body><h1>${title}</h1>\n<ul>\n${list}</ul></body></html>\n`;
  return { status: 200, contentType: "text/html; charset=utf-8", body };
}

function index(wantsHtml: boolean): Reply {
  if (!wantsHtml) return text(200, ENDPOINTS.map(([path, what]) => `${path}: ${what}\n`).join(""));
  return html(
    "kata-monitor",
    ENDPOINTS.map(([path, what]) => `<a href="${path.replace(/\?.*/, "")}">${path}</a>: ${what}`),
  );
}

/** Ids hold nothing that HTML would have to escape. */
function sandboxes(ids: readonly string[], wantsHtml: boolean): Reply {
  if (!wantsHtml) return text(200, ids.map((id) => `${id}\n`).join(""));
  const links = (id: string) =>
    ["metrics", "agent-url"].map((path) => `<a href="/${path}?sandbox=${id}">${path}</a>`).join(", ");
  return html(
    "sandboxes",
    ids.map((id) => `${id}: ${links(id)}`),
  );
}
