/** `kata-runtime factory init`: what it does. */

import { CrashRecorder } from "../../sandbox/crash-recorder.ts";
import { NO_NETWORK } from "../../sandbox/network/sandbox-network.ts";
import { hostSize } from "../../sandbox/resources/host-size.ts";
import { sizeRange } from "../../sandbox/resources/sizing.ts";
import { sandboxPaths } from "../../sandbox/sandbox-paths.ts";
import { provideTemplate, savable, templateFingerprint } from "../../sandbox/start/provide-template.ts";
import { cardQueues, machineSpec, type StartRequest } from "../../sandbox/start/start-parts.ts";
import { TemplateStore } from "../../sandbox/template/template-store.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { factoryLogger, factorySettings } from "./factory-settings.ts";

export async function runInit(context: CommandContext): Promise<number> {
  const settings = factorySettings(context);
  if (!settings.template.enabled) {
    context.output.progress("vm factory not enabled: enable_template of [factory] is false\n");
    return EXIT_FAILED;
  }
  const paths = sandboxPaths("factory");
  const spec = { ociVersion: "1.1.0" };
  const range = sizeRange(settings.size, hostSize(), spec, true);
  const queues = cardQueues(settings, range.boot.vcpus);
  const start: StartRequest = {
    request: { id: "factory", spec, bundle: "/", logger: factoryLogger(settings, "factory") },
    settings,
    paths,
    range,
    network: NO_NETWORK,
    record: new CrashRecorder(paths),
    cgroups: [],
  };
  const machine = savable(await machineSpec(start));
  const store = new TemplateStore(settings.template.path);
  store.prepare();
  for (const cards of [
    { count: 0, queues: 1 },
    { count: 1, queues },
  ]) {
    store.forgetFailure(await templateFingerprint(settings.driver, machine, cards));
    using _template = await provideTemplate(start, machine, cards, store);
  }
  const { flags, output } = context;
  const { path } = settings.template;
  output.data(
    flags.has("json") ? `${JSON.stringify({ initialized: true, path })}\n` : "vm factory initialized\n",
  );
  return EXIT_OK;
}
