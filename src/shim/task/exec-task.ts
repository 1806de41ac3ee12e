/** Exec: a further process of a container, which Start starts. */
import { KataError } from "../../kata-error.ts";
import { parseProcess, parseSpecJson } from "../../oci/parse-spec.ts";
import type { Process } from "../../oci/types.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { messageName, type PackedMessage, PROCESS_TYPE } from "../any-type.ts";
import { checkId } from "../arguments.ts";
import { execAdded } from "../events/task-events.ts";
import type { ExecProcessRequest } from "../generated.ts";
import { ContainedProcess } from "../pod/contained-process.ts";
import type { Pod } from "../pod/pod.ts";

/** @throws KataError `already-exists` if the name is taken, `failed-precondition` unless the container runs. */
export function execTask(pod: Pod, request: ExecProcessRequest): void {
  const { id, execId, stdin, stdout, stderr, terminal } = request;
  checkId(execId);
  const container = pod.container(id);
  container.mustBeFree(execId);
  container.mustTakeProcesses();
  const process: Process = { ...readProcess(request.spec), terminal };
  const { sandbox } = pod;
  const address = { containerId: id, execId };
  const paths = { stdin, stdout, stderr, terminal };
  container.addExec(
    new ContainedProcess({
      address,
      paths,
      openStreams: () => pod.parts.openStreams(sandbox, address, paths),
      launch: (size) => {
        const consoleSize =
          size === undefined ? {} : { consoleSize: { height: size.rows, width: size.columns } };
        return sandbox.exec({ ...address, process: { ...process, ...consoleSize } });
      },
      resize: (size) => sandbox.resizeTerminal(address, size),
    }),
  );
  pod.parts.events.publish(execAdded(id, execId));
}

function readProcess(spec: PackedMessage | undefined): Process {
  if (spec === undefined || messageName(spec.typeUrl) !== messageName(PROCESS_TYPE)) {
    throw new KataError("invalid-argument", {
      operation: "run process",
      object: `a specification of type ${JSON.stringify(spec?.typeUrl ?? "")}`,
      hint: `it is a ${PROCESS_TYPE}`,
    });
  }
  return parseProcess(parseSpecJson(utf8Decode(spec.value), "specification of the process"));
}
