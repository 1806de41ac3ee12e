/**
 * Costs of the agent's protocol, measured in the engine host, where it runs. Built and started by run-bench.ts:
 *
 *   rpc-bench serve SOCKET      answers on SOCKET until it is killed
 *   rpc-bench measure SOCKET    prints figures as JSON
 */
import {
  type CreateContainerRequestInput,
  decodeCreateContainerRequest,
  encodeCreateContainerRequest,
} from "../../build/generated/agent.ts";
import { healthClient, healthService } from "../../build/generated/health.ts";
import { KataError } from "../../src/kata-error.ts";
import { TtrpcClient } from "../../src/rpc/client.ts";
import { serveConnection } from "../../src/rpc/server.ts";
import { programArguments, runProgram, writeSync } from "../../src/sys/program.ts";
import { accept, connect, listen } from "../../src/sys/socket.ts";
import { CLOCK_MONOTONIC, clockGettime } from "../../src/sys/time.ts";
import { type Figure, figure } from "./figure.ts";

const ROUND_TRIPS = 2000;
const CODEC_ROUNDS = 500;
/** Before these the engine's heap has not its size yet. */
const WARM_UP_ROUNDS = 100;

async function main(): Promise<number> {
  const [verb, path = ""] = programArguments;
  switch (verb) {
    case "serve":
      return await serve(path);
    case "measure":
      writeSync(1, `${JSON.stringify([...(await roundTrips(path)), ...codec()])}\n`);
      return 0;
    default:
      throw new KataError("invalid-argument", { operation: "read command line", object: `${verb}` });
  }
}

async function serve(path: string): Promise<number> {
  const socket = listen({ kind: "unix", path });
  const service = healthService({ check: async () => ({ status: 1 }) });
  writeSync(1, "ready\n");
  for (;;) await serveConnection(await accept(socket), [service]);
}

async function roundTrips(path: string): Promise<Figure[]> {
  const client = new TtrpcClient(await connect({ kind: "unix", path }));
  const health = healthClient(client);
  const samples: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < ROUND_TRIPS; round++) {
    const started = clockGettime(CLOCK_MONOTONIC);
    await health.check({});
    if (round >= 0) samples.push(microsecondsSince(started));
  }
  client.close();
  return [figure("ttrpc-round-trip", "Health.Check between two processes", "us", samples)];
}

function codec(): Figure[] {
  const request = createContainerRequest();
  const bytes = encodeCreateContainerRequest(request);
  const encoding: number[] = [];
  const decoding: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < CODEC_ROUNDS; round++) {
    const started = clockGettime(CLOCK_MONOTONIC);
    encodeCreateContainerRequest(request);
    const encoded = microsecondsSince(started);
    const again = clockGettime(CLOCK_MONOTONIC);
    decodeCreateContainerRequest(bytes);
    const decoded = microsecondsSince(again);
    if (round < 0) continue;
    encoding.push(encoded);
    decoding.push(decoded);
  }
  const subject = `CreateContainerRequest of ${bytes.length} bytes`;
  return [figure("codec-encode", subject, "us", encoding), figure("codec-decode", subject, "us", decoding)];
}

function microsecondsSince(started: bigint): number {
  return Number(clockGettime(CLOCK_MONOTONIC) - started) / 1000;
}

/** What a container of containerd's defaults looks like on the wire. */
function createContainerRequest(): CreateContainerRequestInput {
  const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
  const capabilities = ["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID"];
  const granted = capabilities.map((name) => `CAP_${name}`);
  const mount = (destination: string, type: string) => ({
    destination,
    type,
    source: type,
    options: ["nosuid", "noexec", "nodev"],
  });
  return {
    containerId: id,
    execId: id,
    OCI: {
      Version: "1.1.0",
      Hostname: "pod-0",
      Root: { Path: `/run/kata-containers/shared/containers/${id}/rootfs`, Readonly: false },
      Process: {
        Terminal: false,
        User: { UID: 0, GID: 0, AdditionalGids: [0, 10] },
        Args: ["redis-server", "--save", "", "--appendonly", "no"],
        Env: Array.from(
          { length: 20 },
          (_, index) => `KUBERNETES_SERVICE_${index}=tcp://10.96.0.${index}:443`,
        ),
        Cwd: "/data",
        NoNewPrivileges: true,
        Capabilities: { Bounding: granted, Effective: granted, Permitted: granted },
      },
      Mounts: [
        mount("/proc", "proc"),
        mount("/dev", "tmpfs"),
        mount("/dev/pts", "devpts"),
        mount("/dev/shm", "tmpfs"),
        mount("/dev/mqueue", "mqueue"),
        mount("/sys", "sysfs"),
        mount("/run", "tmpfs"),
      ],
      Annotations: new Map([
        ["io.kubernetes.cri.container-type", "container"],
        ["io.kubernetes.cri.sandbox-id", id],
      ]),
      Linux: {
        CgroupsPath: `/default/${id}`,
        Namespaces: ["pid", "ipc", "uts", "mount", "network"].map((Type) => ({ Type })),
        MaskedPaths: ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        ReadonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
      },
    },
  };
}

runProgram(main, (error) => writeSync(2, `rpc-bench: ${String(error)}\n`));
