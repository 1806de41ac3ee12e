/** A scope over a real dbus-daemon, which checks every message, with a stand-in for systemd behind it. Needs root. */
import { parseCgroupsPath } from "../../oci/cgroups-path.ts";
import { sleep } from "../../sys/clock.ts";
import { DbusConnection } from "../../sys/dbus/connection.ts";
import { ERROR, METHOD_RETURN } from "../../sys/dbus/message.ts";
import { loop } from "../../sys/event-loop.ts";
import { exists, mkdirAll, removeTree, rmdirIfExists, writeExisting, writeFile } from "../../sys/files.ts";
import { getpid, SIGTERM } from "../../sys/process.ts";
import { connect } from "../../sys/socket.ts";
import { spawn } from "../../sys/spawn.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { startScope } from "./start-scope.ts";
import { scopeOf } from "./systemd-scope.ts";

const DAEMON = "/usr/bin/dbus-daemon";
/** The hierarchy in which systemd keeps its units, on a host with version 1, or version 2's. */
const UNITS = exists("/sys/fs/cgroup/systemd") ? "/sys/fs/cgroup/systemd" : "/sys/fs/cgroup";
const START_DEADLINE_MS = 5000;

test("startScope() asks systemd for the scope and is in it then; its refusal is told", async () => {
  assert(exists(DAEMON), "there is a dbus-daemon (Debian's package of that name)");
  const directory = `/tmp/kata-dbus-test.${getpid()}`;
  mkdirAll(directory);
  const bus = `${directory}/bus`;
  writeFile(
    `${directory}/conf`,
    `<busconfig><type>system</type><listen>unix:path=${bus}</listen><auth>EXTERNAL</auth><policy context="default">
<allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/><allow eavesdrop="false"/></policy></busconfig>`,
  );
  const daemon = await spawn({
    path: DAEMON,
    args: [DAEMON, `--config-file=${directory}/conf`, "--nofork", "--nopidfile"],
    environment: ["PATH=/usr/bin:/bin"],
    descriptors: ["null", "null", 2],
    workingDirectory: "/",
  });
  const scope = scopeOf(parseCgroupsPath(`katatest.slice:kata:${getpid()}`), getpid());
  assert(scope !== undefined, "the path names a scope");
  const unit = `${UNITS}/katatest.slice/${scope.unit}`;
  try {
    const end = loop.now() + START_DEADLINE_MS;
    while (!exists(bus)) {
      assert(loop.now() < end, "dbus-daemon listens");
      await sleep(loop, 5);
    }
    const asked: unknown[] = [];
    let refuses = false;
    const manager = await DbusConnection.open(await connect({ kind: "unix", path: bus }), 0, loop, (call) => {
      asked.push(call.member, call.signature, call.body);
      if (refuses) {
        const body = ["Unit has been masked."];
        return {
          type: ERROR,
          serial: 0,
          errorName: "org.freedesktop.systemd1.UnitMasked",
          signature: "s",
          body,
        };
      }
      mkdirAll(unit);
      writeExisting(`${unit}/cgroup.procs`, String(getpid()));
      return { type: METHOD_RETURN, serial: 0, signature: "o", body: ["/org/freedesktop/systemd1/job/1"] };
    });
    const name = {
      path: "/org/freedesktop/DBus",
      interface: "org.freedesktop.DBus",
      destination: "org.freedesktop.DBus",
    };
    const body = ["org.freedesktop.systemd1", 0];
    assertEqual(await manager.call({ ...name, member: "RequestName", signature: "su", body }), [1]);

    await startScope(scope, 0, loop, bus);
    assertEqual(asked[0], "StartTransientUnit");
    assertEqual(asked[1], "ssa(sv)a(sa(sv))");
    const [unitName, mode, properties] = asked[2] as [string, string, [string, { value: unknown }][]];
    assertEqual([unitName, mode], [scope.unit, "replace"]);
    const values = Object.fromEntries(properties.map(([key, { value }]) => [key, value]));
    assertEqual(
      [values.Slice, values.Delegate, values.PIDs, values.DefaultDependencies],
      ["katatest.slice", true, [getpid()], false],
    );
    refuses = true;
    await assertThrows(
      () => startScope(scope, 0, loop, bus),
      (error) => String(error).includes("org.freedesktop.systemd1.UnitMasked: Unit has been masked."),
      "systemd's words",
    );
    manager.close();
  } finally {
    if (exists(unit)) {
      writeExisting(`${UNITS}/cgroup.procs`, String(getpid()));
      rmdirIfExists(unit);
      rmdirIfExists(`${UNITS}/katatest.slice`);
    }
    daemon.kill(SIGTERM);
    await daemon.exited;
    removeTree(directory);
  }
});

runTests();
