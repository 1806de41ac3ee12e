/** How fast a container's network is, beside the reference's in the same run: one TCP stream each way, and a byte there and back. */
import { dirname, join } from "node:path";
import type { Engine } from "../../scripts/build/engine.ts";
import { buildProgram } from "../../scripts/build/program.ts";
import { startCommand } from "../harness/command.ts";
import { NetworkNamespace } from "../harness/network-namespace.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { type Figure, figure } from "./figure.ts";

const LOAD = { entry: "tests/bench/network-load.ts", output: "build/test/network-load" };
const PORT = 7001;
/** In the container. */
const PLACE = "/load";

const SERVER_DEADLINE_MS = 10_000;
/** A cold container, and seven seconds of traffic, ms. */
const CONTAINER_DEADLINE_MS = 120_000;

export interface MeasuredIn {
  /** The project's directory. */
  readonly root: string;
  readonly engine: Engine;
  readonly containerd: PrivateContainerd;
  /** An image with anything in it. */
  readonly image: string;
}

interface Measurement {
  readonly sent: number;
  readonly received: number;
  readonly roundTrips: readonly number[];
}

/**
 * Measures each runtime in turn, so that all see the same machine.
 *
 * @param rounds containers of each.
 * @param nameOf what a runtime is called in the figures.
 */
export async function networkFigures(
  { root, engine, containerd, image }: MeasuredIn,
  runtimes: readonly string[],
  rounds: number,
  nameOf: (runtime: string) => string,
): Promise<Figure[]> {
  await buildProgram(root, engine, LOAD);
  const program = join(root, LOAD.output);
  await using network = await NetworkNamespace.create(containerd.address.tag);
  await using server = startCommand(program, ["serve", network.hostAddress, `${PORT}`]);
  await server.until("the server listens", (stdout) => stdout.includes("ready"), SERVER_DEADLINE_MS);
  const measured = new Map<string, Measurement[]>(runtimes.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [runtime, results] of measured) {
      const id = `${containerd.address.tag}-net${round}`;
      const flags = [
        "--with-ns",
        `network:${network.path}`,
        "--mount",
        `type=bind,src=${dirname(program)},dst=${PLACE},options=rbind:ro`,
      ];
      const command = [`${PLACE}/network-load`, "measure", network.hostAddress, `${PORT}`];
      const { status, stdout, stderr } = await containerd.ctr.runContainer(
        { id, image, runtime, command, flags },
        { deadlineMs: CONTAINER_DEADLINE_MS },
      );
      if (status !== 0) {
        throw new Error(`bench: network of ${runtime}: exit status ${status}\n${stderr}\n${containerd.log}`);
      }
      results.push(JSON.parse(stdout) as Measurement);
    }
  }
  return [...measured].flatMap(([runtime, results]) => [
    figure(
      "tcp-send",
      nameOf(runtime),
      "bytes/s",
      results.map(({ sent }) => sent),
    ),
    figure(
      "tcp-receive",
      nameOf(runtime),
      "bytes/s",
      results.map(({ received }) => received),
    ),
    figure(
      "tcp-round-trip",
      nameOf(runtime),
      "us",
      results.flatMap(({ roundTrips }) => roundTrips),
    ),
  ]);
}
