import { describe, expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import type { HttpRequest } from "../../rpc/http/http-message.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { Durations } from "../../sys/metrics/prometheus-text.ts";
import { FakeSandbox } from "../testing/fake-sandbox.ts";
import type { ManagedPod } from "./managed-pod.ts";
import { answer, failureAnswer } from "./routes.ts";

const request = (
  method: string,
  path: string,
  query: Record<string, string> = {},
  body = "",
): HttpRequest => ({
  method,
  path,
  query: new Map(Object.entries(query)),
  body: new TextEncoder().encode(body),
});

/** No route that is asked here uses the connection. */
const STREAM = undefined as unknown as FdStream;

async function ask(sandbox: FakeSandbox, asked: HttpRequest) {
  const pod: ManagedPod = {
    sandbox,
    pid: 42,
    containers: () => [],
    calls: new Durations(),
    log: () => "last words\n",
  };
  const answered = await answer(pod, asked, STREAM);
  if ("serve" in answered) throw new Error("it is no answer");
  return { status: answered.status, body: new TextDecoder().decode(answered.body) };
}

describe("the management interface", () => {
  test.each(["GET", "POST"])(
    "tells a volume's statistics for %s, as upstream's runtime writes them",
    async (method) => {
      const sandbox = new FakeSandbox("pod1");
      expect(await ask(sandbox, request(method, "/direct-volume/stats", { path: "/v" }))).toEqual({
        status: 200,
        body: '{"usage":[{"available":600,"total":1000,"used":400,"unit":1},{"available":7,"total":10,"used":3,"unit":2}],"volume_condition":{"abnormal":false,"message":"OK"}}',
      });
      expect(sandbox.asked).toEqual(["volume-stats /v"]);
    },
  );

  test("gives the agent the policy that is put, and tells a refusal as one", async () => {
    const sandbox = new FakeSandbox("pod1");
    expect(await ask(sandbox, request("PUT", "/policy", {}, "package agent_policy\n"))).toEqual({
      status: 200,
      body: "",
    });
    expect(sandbox.asked).toEqual(["set policy package agent_policy\n"]);
    expect((await ask(sandbox, request("GET", "/policy"))).status).toBe(405);
    const refusal = new KataError("permission-denied", { operation: "SetPolicyRequest", object: "blocked" });
    expect(failureAnswer(refusal).status).toBe(403);
  });

  test.each(['{"VolumePath":"/v","Size":4096}', '{"volume_guest_path":"/v","size":4096}'])(
    "resizes a volume for %s",
    async (body) => {
      const sandbox = new FakeSandbox("pod1");
      expect(await ask(sandbox, request("POST", "/direct-volume/resize", {}, body))).toEqual({
        status: 200,
        body: "",
      });
      expect(sandbox.asked).toEqual(["resize-volume /v 4096"]);
    },
  );

  test.each([
    "",
    "[]",
    "{}",
    '{"VolumePath":"/v"}',
    '{"VolumePath":"/v","Size":-1}',
    '{"VolumePath":"","Size":1}',
  ])("refuses to resize for %j", async (body) => {
    const sandbox = new FakeSandbox("pod1");
    await expect(ask(sandbox, request("POST", "/direct-volume/resize", {}, body))).rejects.toMatchObject({
      code: "invalid-argument",
    });
    expect(sandbox.asked).toEqual([]);
  });

  test.each([
    ["/iptables", "ipv4"],
    ["/ip6tables", "ipv6"],
  ])("tells and replaces the packet filter at %s", async (path, family) => {
    const sandbox = new FakeSandbox("pod1");
    expect(await ask(sandbox, request("GET", path))).toEqual({ status: 200, body: `# rules of ${family}\n` });
    expect(await ask(sandbox, request("PUT", path, {}, "*filter\n"))).toEqual({ status: 200, body: "" });
    expect(sandbox.asked).toEqual([`packet-filter ${family}`, `set-packet-filter ${family} *filter\n`]);
  });

  test("tells how the agent is reached, as upstream writes it, and where only the shim can reach it", async () => {
    const sandbox = new FakeSandbox("pod1");
    expect(await ask(sandbox, request("GET", "/agent-url"))).toEqual({ status: 200, body: "vsock://3:1024" });
    sandbox.agentUrl = undefined;
    expect((await ask(sandbox, request("GET", "/agent-url"))).status).toBe(501);
  });

  test("describes the pod, and has its log and the guest's", async () => {
    const sandbox = new FakeSandbox("pod1");
    const { status, body } = await ask(sandbox, request("GET", "/pod"));
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ sandbox: { id: "pod1", hypervisor: "qemu" }, containers: [] });
    expect(await ask(sandbox, request("GET", "/statistics"))).toEqual({ status: 200, body: "[]" });
    expect((await ask(sandbox, request("GET", "/logs/shim"))).body).toBe("last words\n");
    expect((await ask(sandbox, request("GET", "/logs/guest"))).body).toBe("first line\nsecond line\n");
  });

  test.each([
    [request("POST", "/iptables"), 405],
    [request("GET", "/nothing"), 404],
    [request("GET", "/direct-volume/resize"), 405],
    [request("GET", "/direct-volume/stats"), 400],
  ])("answers %j with %i", async (asked, status) => {
    expect((await ask(new FakeSandbox("pod1"), asked)).status).toBe(status);
  });

  test.each([
    [new KataError("not-found", { operation: "find volume", object: "/v" }), 404, "find volume: /v\n"],
    [new KataError("unavailable", { operation: "call", object: "guest" }), 503, "call: guest\n"],
    [new TypeError("secret"), 500, "internal error, see the shim's log\n"],
  ])("tells of %s", (error, status, body) => {
    const answered = failureAnswer(error);
    expect([answered.status, new TextDecoder().decode(answered.body)]).toEqual([status, body]);
  });
});
