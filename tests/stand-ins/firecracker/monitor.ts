/** Firecracker's API: each request is checked against the schema and against what may come when, and carried out. */
import { describeError } from "../../../src/kata-error.ts";
import type { HttpAnswer, HttpRequest } from "../http-request.ts";
import { findEndpoint } from "./endpoints.ts";
import { Refused } from "./refused.ts";
import { faults } from "./schema.ts";
import type { SnapshotFiles } from "./snapshot-file.ts";
import type { BootSource, Card, Drive, MachineConfiguration, SnapshotLoad, Vmm, Vsock } from "./vmm.ts";

export const VERSION = "1.12.1";

/** @param id of the machine. */
export async function answer(vmm: Vmm, id: string, { method, path, body }: HttpRequest): Promise<HttpAnswer> {
  try {
    const value = await perform(vmm, id, accepted(vmm, method, path, body));
    return value === undefined ? { status: 204 } : { status: 200, body: JSON.stringify(value) };
  } catch (error) {
    const words = error instanceof Refused ? error.message : describeError(error);
    return { status: 400, body: JSON.stringify({ fault_message: words }) };
  }
}

interface AcceptedRequest {
  readonly what: string;
  readonly body: object;
}

function accepted(vmm: Vmm, method: string, path: string, text: string): AcceptedRequest {
  const found = findEndpoint(method, path);
  if (found === undefined) throw new Refused(`Invalid request method and/or path: ${method} ${path}.`);
  const { rule, id } = found;
  const body = parseBody(text, rule.type);
  if (rule.id !== undefined) checkId(id, Reflect.get(body, rule.id));
  const started = vmm.state !== "Not started";
  if (rule.phase === "before" && started) {
    throw new Refused("The requested operation is not supported after starting the microVM.");
  }
  if (rule.phase === "after" && !started) {
    throw new Refused("The requested operation is not supported before starting the microVM.");
  }
  return { what: `${method} ${rule.path}`, body };
}

type Performer = (vmm: Vmm, body: object, id: string) => unknown;

/** Bodies have the types of the schema by now. */
const PERFORMERS: Readonly<Record<string, Performer>> = {
  "GET /": ({ state }, _body, id) => ({ id, state, vmm_version: VERSION, app_name: "Firecracker" }),
  "GET /version": () => ({ firecracker_version: VERSION }),
  "GET /machine-config": ({ machine }) => machine,
  "PUT /actions": (vmm, body) => vmm.act((body as { action_type: string }).action_type),
  "PUT /logger": (vmm, body) => vmm.setLogger((body as { log_path?: string }).log_path),
  "PUT /metrics": (vmm, body) => vmm.setMetrics((body as { metrics_path: string }).metrics_path),
  "PUT /machine-config": (vmm, body) => vmm.setMachine(body as MachineConfiguration),
  "PUT /boot-source": (vmm, body) => vmm.setBoot(body as BootSource),
  "PUT /drives/{id}": (vmm, body) => vmm.addDrive(body as Drive),
  "PATCH /drives/{id}": (vmm, body) => {
    const { drive_id: drive, path_on_host: path } = body as Pick<Drive, "drive_id" | "path_on_host">;
    return vmm.changeDrive(drive, path);
  },
  "PUT /network-interfaces/{id}": (vmm, body) => vmm.addCard(body as Card),
  "PATCH /network-interfaces/{id}": (vmm, body) => vmm.requireCard((body as Card).iface_id),
  "PUT /vsock": (vmm, body) => vmm.setVsock(body as Vsock),
  "PUT /entropy": (vmm) => vmm.addEntropy(),
  "PUT /snapshot/create": (vmm, body) => vmm.createSnapshot(body as SnapshotFiles),
  "PUT /snapshot/load": (vmm, body) => vmm.loadSnapshot(body as SnapshotLoad),
  "PATCH /vm": (vmm, body) => vmm.setState((body as { state: string }).state),
};

async function perform(vmm: Vmm, id: string, { what, body }: AcceptedRequest): Promise<unknown> {
  const performer = PERFORMERS[what];
  if (performer === undefined) throw new Refused(`Invalid request method and/or path: ${what}.`);
  return await performer(vmm, body, id);
}

function parseBody(text: string, type: string | undefined): object {
  if (type === undefined) {
    if (text !== "") throw new Refused("GET request cannot have a body.");
    return {};
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Refused(`An error occurred when deserializing the json body of a request: ${String(error)}`);
  }
  const wrong = faults(value, type);
  if (wrong.length > 0) {
    throw new Refused(`An error occurred when deserializing the json body of a request: ${wrong.join("; ")}`);
  }
  return value as object;
}

function checkId(path: string, body: unknown): void {
  if (!/^\w+$/.test(path)) {
    throw new Refused("API Resource IDs can only contain alphanumeric characters and underscores.");
  }
  if (path !== body) {
    throw new Refused(
      `The id from the path [${path}] does not match the id from the body [${String(body)}]!`,
    );
  }
}
