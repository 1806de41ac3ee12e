/** Checks that several calls make of their requests. */
import { KataError } from "../../kata-error.ts";

/** A message that the request must hold. @throws KataError `invalid-argument`. */
export function required<T>(message: T | undefined, operation: string, field: string): T {
  if (message !== undefined) return message;
  throw new KataError("invalid-argument", { operation, object: `the request has no ${field}` });
}

/** Streams over ports of their own are not offered (no agent.passfd_listener_port), so no host asks for them by right. */
export function refusePassedStreams(request: {
  readonly stdinPort: number;
  readonly stdoutPort: number;
  readonly stderrPort: number;
}): void {
  if (request.stdinPort === 0 && request.stdoutPort === 0 && request.stderrPort === 0) return;
  throw new KataError("unimplemented", {
    operation: "pass standard streams",
    object: "over ports of their own",
    hint: "leave the ports 0: streams go over this protocol",
  });
}
