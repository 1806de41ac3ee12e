/** `kata-runtime factory keep`: what it does. */
import { describeError } from "../../kata-error.ts";
import { keepMachine } from "../../sandbox/pool/keeper.ts";
import { sendLine } from "../../sandbox/pool/pool-protocol.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { duplicate, ignoreSignal, SIGHUP } from "../../sys/process.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { factoryLogger, factorySettings } from "./factory-settings.ts";

const LIFELINE = 3;

export async function runKeep(context: CommandContext): Promise<number> {
  ignoreSignal(SIGHUP);
  const settings = factorySettings(context);
  const logger = factoryLogger(settings, "keeper");
  const forFailure = duplicate(LIFELINE);
  try {
    await keepMachine(
      new FileDescriptor(LIFELINE),
      context.operands[0] ?? "",
      settings,
      logger,
      // From now on the owner alone holds the other end's fate.
      () => forFailure.close(),
    );
    return EXIT_OK;
  } catch (error) {
    const reason = describeError(error);
    logger.error("no machine", { reason });
    if (forFailure.isOpen) {
      // Who asked for it may be gone, which may be why.
      await sendLine(new FdStream(forFailure), { kind: "refused", reason }).catch((failure: unknown) =>
        logger.debug("nobody to tell", { error: describeError(failure) }),
      );
    }
    return EXIT_FAILED;
  }
}
