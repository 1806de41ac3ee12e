/** Client and server, one against the other. */
import { expect, test } from "vitest";
import { agentService, agentServiceClient } from "../../build/generated/agent.ts";
import { KataError } from "../kata-error.ts";
import { FakeClock } from "../sys/testing/fake-clock.ts";
import { TtrpcClient } from "./client.ts";
import { serveConnection } from "./server.ts";
import { MemoryStream } from "./testing/memory-stream.ts";

test("a call brings the request to the handler and the response back", async () => {
  const { ours, theirs } = MemoryStream.pair();
  const clock = new FakeClock();
  const seen: unknown[] = [];
  const served = serveConnection(
    theirs,
    [
      agentService({
        async waitProcess(request) {
          seen.push(request);
          return { status: 137 };
        },
        async startContainer() {
          throw new KataError("not-found", { operation: "start container", object: "c1" });
        },
      }),
    ],
    { clock },
  );
  const client = new TtrpcClient(ours, { clock });
  const agent = agentServiceClient(client);
  expect(await agent.waitProcess({ containerId: "c1", execId: "e" })).toEqual({ status: 137 });
  expect(seen).toEqual([{ containerId: "c1", execId: "e", outputBytes: 0 }]);
  await expect(agent.startContainer({ containerId: "c1" })).rejects.toMatchObject({
    code: "not-found",
    message: "call grpc.AgentService/StartContainer: start container: c1",
  });
  await expect(agent.getMetrics({})).rejects.toMatchObject({
    code: "unimplemented",
    object: "method GetMetrics",
  });
  client.close();
  await Promise.all([client.closed, served]);
  await expect(agent.getMetrics({})).rejects.toMatchObject({ code: "unavailable", object: "ttrpc: closed" });
});
