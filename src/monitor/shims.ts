/** The shims of this host as kata-monitor finds and asks them: by their management sockets, ours and upstream's. */
import { existsSync, readdirSync } from "node:fs";
import { request } from "node:http";
import { KataError } from "../kata-error.ts";

/** Directories with one for each sandbox: of ours and upstream's runtime in Go; of upstream's in Rust. */
export const SANDBOX_ROOTS: readonly string[] = ["/run/vc/sbs", "/run/kata"];
const SOCKET = "shim-monitor.sock";
const ANSWER_MS = 10_000;
/** Longest answer, bytes. */
const MAX_ANSWER_BYTES = 16 << 20;

export interface ShimAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

export class Shims {
  readonly #roots: readonly string[];

  constructor(roots: readonly string[] = SANDBOX_ROOTS) {
    this.#roots = roots;
  }

  /** Ids of the sandboxes whose shims listen, sorted. */
  ids(): string[] {
    const found = this.#roots.flatMap((root) => (existsSync(root) ? readdirSync(root) : []));
    return [...new Set(found)].filter((id) => isId(id) && this.#socketOf(id) !== undefined).sort();
  }

  /**
   * Asks for `target`, a path with its query.
   *
   * @throws KataError `not-found` if there is no such sandbox, `unavailable` if its shim does not answer.
   */
  ask(id: string, target: string): Promise<ShimAnswer> {
    const socketPath = isId(id) ? this.#socketOf(id) : undefined;
    if (socketPath === undefined) {
      return Promise.reject(
        new KataError("not-found", { operation: "find sandbox", object: JSON.stringify(id.slice(0, 128)) }),
      );
    }
    return new Promise((resolve, reject) => {
      const failed = (error: Error) =>
        reject(
          new KataError("unavailable", {
            operation: "ask shim",
            object: id,
            hint: error.message,
            cause: error,
          }),
        );
      const asked = request({ socketPath, path: target, headers: { connection: "close" } }, (answer) => {
        const chunks: Buffer[] = [];
        let length = 0;
        answer.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length > MAX_ANSWER_BYTES) asked.destroy(new Error("the answer is too long"));
          else chunks.push(chunk);
        });
        answer.on("error", failed);
        answer.on("end", () =>
          resolve({
            status: answer.statusCode ?? 0,
            contentType: answer.headers["content-type"] ?? "text/plain",
            body: Buffer.concat(chunks),
          }),
        );
      });
      asked.setTimeout(ANSWER_MS, () => asked.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`)));
      asked.on("error", failed);
      asked.end();
    });
  }

  #socketOf(id: string): string | undefined {
    return this.#roots.map((root) => `${root}/${id}/${SOCKET}`).find((path) => existsSync(path));
  }
}

function isId(text: string): boolean {
  return text.length <= 128 && /^[A-Za-z0-9][\w.-]*$/.test(text);
}
