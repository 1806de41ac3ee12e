/** `kata-runtime factory status`: what it does. */
import { hasErrno } from "../../kata-error.ts";
import { askStatus } from "../../sandbox/pool/claim.ts";
import type { PoolStatus } from "../../sandbox/pool/pool-protocol.ts";
import { type TemplateFacts, TemplateStore } from "../../sandbox/template/template-store.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { factorySettings } from "./factory-settings.ts";

const MIB = 1 << 20;

export async function runStatus(context: CommandContext): Promise<number> {
  const settings = factorySettings(context);
  const templates = new TemplateStore(settings.template.path).list();
  const pool = await poolStatus(settings.pool.endpoint);
  const { enabled } = settings.template;
  context.output.data(
    context.flags.has("json")
      ? `${JSON.stringify(asJson(enabled, templates, pool), undefined, 2)}\n`
      : asText(enabled, templates, pool),
  );
  return EXIT_OK;
}

/** @returns undefined if there is no pool. */
async function poolStatus(endpoint: string): Promise<PoolStatus | undefined> {
  try {
    return await askStatus(endpoint);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ECONNREFUSED")) return undefined;
    throw error;
  }
}

function asJson(enabled: boolean, templates: readonly TemplateFacts[], pool: PoolStatus | undefined) {
  return {
    enabled,
    templates: templates.map(({ directory, bytes, lastUse, manifest }) => ({
      directory,
      bytes,
      memoryMib: manifest.memoryMib,
      madeAt: new Date(manifest.madeAt).toISOString(),
      lastUse: new Date(lastUse).toISOString(),
    })),
    pool: pool ?? null,
  };
}

function asText(enabled: boolean, templates: readonly TemplateFacts[], pool: PoolStatus | undefined): string {
  const lines = [`vm factory is ${enabled ? "on" : "off"}`];
  for (const { directory, bytes, lastUse, manifest } of templates) {
    const size = `${manifest.memoryMib} MiB of memory, ${Math.round(bytes / MIB)} MiB kept`;
    lines.push(`template ${directory}: ${size}, last used ${new Date(lastUse).toISOString()}`);
  }
  if (templates.length === 0) lines.push("no template: the first pod makes one");
  if (pool === undefined) return `${[...lines, "VM cache server is not running"].join("\n")}\n`;
  lines.push(`VM cache server pid = ${pool.pid}`);
  for (const { pid, vcpus, memoryMib } of pool.ready) {
    lines.push(`VM pid = ${pid} Cpu = ${vcpus} Memory = ${memoryMib}MiB`);
  }
  const { wanted, ready, building, given, refused, obstacle, memoryBudgetMib } = pool;
  lines.push(
    `${ready.length} of ${wanted} ready${building ? ", one more is being made" : ""}; ${given} given, ${refused} refused`,
  );
  const memory = ready.reduce((sum, { memoryMib }) => sum + memoryMib, 0);
  const budget =
    memoryBudgetMib === 0 ? "while a tenth of the host's is free" : `of at most ${memoryBudgetMib} MiB`;
  lines.push(
    `${memory} MiB of memory ${budget}; machines are made at low priority, when no pod has asked for a moment`,
  );
  if (obstacle !== "") lines.push(`in the way: ${obstacle}`);
  return `${lines.join("\n")}\n`;
}
