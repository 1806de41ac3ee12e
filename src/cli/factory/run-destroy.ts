/** `kata-runtime factory destroy`: what it does. */
import { TemplateStore } from "../../sandbox/template/template-store.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { factorySettings } from "./factory-settings.ts";

export async function runDestroy(context: CommandContext): Promise<number> {
  const { template } = factorySettings(context);
  const count = new TemplateStore(template.path).destroy();
  if (context.flags.has("json")) {
    context.output.data(`${JSON.stringify({ removed: count, path: template.path })}\n`);
    return EXIT_OK;
  }
  context.output.progress(
    `${count} ${count === 1 ? "template" : "templates"} removed from ${template.path}\n`,
  );
  context.output.data("vm factory destroyed\n");
  return EXIT_OK;
}
