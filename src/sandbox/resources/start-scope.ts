/** Asking systemd for a scope. It is loaded by those whose cgroup is one. */
import { KataError } from "../../kata-error.ts";
import { type Clock, sleep } from "../../sys/clock.ts";
import { DbusConnection } from "../../sys/dbus/connection.ts";
import { readTextFile } from "../../sys/files.ts";
import { connect } from "../../sys/socket.ts";
import { isIn, type SystemdScope, scopeRequest } from "./systemd-scope.ts";

const SYSTEM_BUS = "/run/dbus/system_bus_socket";
/** systemd moves the process in a job of its own after it has answered, ms. */
const JOIN_DEADLINE_MS = 10_000;
const JOIN_INTERVAL_MS = 5;

/**
 * Makes the scope and waits until the process is in it.
 *
 * @param bus path of the bus's socket.
 * @throws KataError `dbus-error` with systemd's words, `system-call` if there is no bus, `deadline-exceeded` if the process is not moved.
 */
export async function startScope(
  scope: SystemdScope,
  uid: number,
  clock: Clock,
  bus = SYSTEM_BUS,
): Promise<void> {
  const connection = await DbusConnection.open(await connect({ kind: "unix", path: bus }), uid, clock);
  try {
    await connection.call({
      destination: "org.freedesktop.systemd1",
      path: "/org/freedesktop/systemd1",
      interface: "org.freedesktop.systemd1.Manager",
      member: "StartTransientUnit",
      signature: "ssa(sv)a(sa(sv))",
      body: scopeRequest(scope),
    });
  } finally {
    connection.close();
  }
  const end = clock.now() + JOIN_DEADLINE_MS;
  while (!isIn(readTextFile(`/proc/${scope.pid}/cgroup`), scope.unit)) {
    if (clock.now() > end) {
      throw new KataError("deadline-exceeded", {
        operation: "join systemd's scope",
        object: scope.unit,
        hint: "systemctl status of the unit tells why it did not start",
      });
    }
    await sleep(clock, JOIN_INTERVAL_MS);
  }
}
