/**
 * Starting Cloud Hypervisor.
 *
 * The socket of its API is made and connected to here, and inherited listening, so that nothing has to be polled for. The machine is
 * described, its network cards are handed over (their taps go along as descriptors), and it is booted.
 *
 * With a user of its own its sockets are in that one's directory, and its disks in a {@link DiskRoom}.
 */
import { describeError, hasCode, KataError } from "../../../kata-error.ts";
import { orCancelled, throwIfCancelled } from "../../../sys/cancellation.ts";
import { setNonBlocking } from "../../../sys/fd-stream.ts";
import { unlinkIfExists } from "../../../sys/files.ts";
import { Rollback } from "../../../sys/rollback.ts";
import { connect, listen, sendWithDescriptors } from "../../../sys/socket.ts";
import { checkGuestFiles, checkReadable } from "../guest-files.ts";
import { enterHelperNamespaces } from "../helper-confinement.ts";
import { becomeMonitorUser } from "../monitor-user.ts";
import { RestClient } from "../rest-client.ts";
import { SupervisedProgram } from "../supervised-program.ts";
import type { Hypervisor, MachineContext, MachineOrigin, MachineSpec, VirtualMachine } from "../types.ts";
import { CloudHypervisorApi } from "./api-client.ts";
import { DiskRoom } from "./disk-room.ts";
import { prepareLandlock } from "./landlock.ts";
import { fingerprint, restoreMachine } from "./saved-machine.ts";
import { CLOUD_HYPERVISOR } from "./traits.ts";
import { CloudHypervisorMachine } from "./virtual-machine.ts";
import { networkRequest, programArguments, vmConfig } from "./vm-config.ts";

const { name: NAME } = CLOUD_HYPERVISOR;
const SECTION = "[hypervisor.clh]";
/** The first descriptor after stdin, stdout and stderr. */
const API_DESCRIPTOR = 3;
/** Names of the sockets in the sandbox's directory, which are upstream's. */
const API_SOCKET = "clh-api.sock";
const VSOCK_SOCKET = "clh.sock";

export const cloudHypervisor: Hypervisor = {
  ...CLOUD_HYPERVISOR,
  boot,
  fingerprint: async (spec) => fingerprint(spec),
};

async function boot(
  spec: MachineSpec,
  context: MachineContext,
  origin: MachineOrigin = { kind: "boot" },
): Promise<VirtualMachine> {
  checkGuestFiles(spec, SECTION);
  checkReadable(spec, SECTION);
  throwIfCancelled(context.signal);
  const { clock, logger } = context;
  const undo = new Rollback();
  try {
    const room = spec.user === undefined ? undefined : DiskRoom.make(spec.user);
    undo.add("disks", () => room?.[Symbol.dispose]());
    const api = `${spec.runDirectory}/${API_SOCKET}`;
    const vsock = `${spec.runDirectory}/${VSOCK_SOCKET}`;
    undo.add("vsock", () => void unlinkIfExists(vsock));
    using listener = listen({ kind: "unix", path: api });
    undo.add("API socket", () => void unlinkIfExists(api));
    const stream = await connect({ kind: "unix", path: api });
    undo.add("connection to the API", () => stream.close());
    unlinkIfExists(api);
    // The monitor waits in accept(2).
    setNonBlocking(listener.fd, false);

    const program = await SupervisedProgram.start({
      name: NAME,
      configurationKey: `path of ${SECTION}`,
      path: spec.program,
      args: programArguments(spec, API_DESCRIPTOR),
      inherited: [listener.fd, ...(origin.kind === "saved" ? [origin.memory] : [])],
      environment: ["LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
      prepare: () => {
        enterHelperNamespaces(spec);
        room?.enter();
        if (spec.user !== undefined) becomeMonitorUser(spec.user);
      },
      onOutput: (line) => logger.debug("guest console", { line }),
      clock,
    });
    undo.add(NAME, () => program.stop(0));
    room?.started(program.pid);

    const client = new CloudHypervisorApi(
      new RestClient(
        NAME,
        {
          read: (into) => stream.read(into),
          write: (bytes) => stream.write(bytes),
          writeWithDescriptors: (bytes, descriptors) => sendWithDescriptors(stream, bytes, descriptors),
          close: () => stream.close(),
        },
        clock,
      ),
      clock,
    );
    const given = room === undefined ? spec : { ...spec, devices: room.give(spec.devices) };
    const starting = start(client, given, vsock, origin);
    const version = await orCancelled(program.whileRunning(`start ${NAME}`, starting), context.signal);
    logger.debug(`${NAME} is running`, { pid: program.pid, version });
    undo.keep();
    const memory = origin.kind === "template" ? origin.memory : undefined;
    return new CloudHypervisorMachine({ spec, program, client, version, vsock, room, memory, clock });
  } catch (error) {
    await undo.run();
    throw spec.accelerator === "tcg" ? withoutVirtualization(error) : error;
  }
}

/** It has no emulation, and says of a host without virtualization only which file it could not open. */
function withoutVirtualization(error: unknown): unknown {
  if (!hasCode(error, "hypervisor-error")) return error;
  return new KataError("unsupported", {
    operation: `start ${NAME}`,
    object: describeError(error),
    hint: "this host has neither a KVM that works nor MSHV; use the hypervisor qemu, which emulates a processor",
    cause: error,
  });
}

/** @returns the monitor's version. */
async function start(
  client: CloudHypervisorApi,
  spec: MachineSpec,
  vsock: string,
  origin: MachineOrigin,
): Promise<string> {
  const version = await client.ping();
  switch (origin.kind) {
    case "boot":
      prepareLandlock(spec);
      await client.create(vmConfig(spec, vsock));
      await addCards(client, spec);
      await client.boot();
      break;
    case "template":
      await client.create(vmConfig(spec, vsock, true));
      await client.boot();
      break;
    case "saved":
      await origin.memoryReady;
      await restoreMachine(
        client,
        spec.runDirectory,
        { state: origin.state, memory: API_DESCRIPTOR + 1 },
        vsock,
      );
      await client.resume();
      await addCards(client, spec);
      break;
  }
  return version;
}

async function addCards(client: CloudHypervisorApi, spec: MachineSpec): Promise<void> {
  for (const device of spec.devices) {
    if (device.kind === "network") await client.addNetwork(networkRequest(device, spec));
  }
}
