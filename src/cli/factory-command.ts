/** `kata-runtime factory`: how it is called. */
import { type Command, EXIT_USAGE, type Flag } from "./types.ts";

const WITHIN = "factory";
const JSON_FLAG: Flag = { names: ["--json"], doc: "write the answer as JSON" };

const INIT: Command = {
  name: "init",
  within: WITHIN,
  aliases: [],
  summary: "make the templates that pods are cloned from",
  description: `Boots a machine for each kind of template, with and without a network card, and saves it, so that the first pod need not. Templates that are
there already and fit stay. A failure that keeps pods from trying again is forgotten.`,
  flags: [JSON_FLAG],
  examples: [["factory init", "after an installation or a new guest image"]],
  run: async (context) => (await import("./factory/run-init.ts")).runInit(context),
};

const STATUS: Command = {
  name: "status",
  within: WITHIN,
  aliases: [],
  summary: "show the templates and what the pool does",
  description:
    "Shows each template with its size and last use, and of the pool how many machines are ready and what is in its way.",
  flags: [JSON_FLAG],
  examples: [
    ["factory status", "for people"],
    ["factory status --json", "for programs"],
  ],
  run: async (context) => (await import("./factory/run-status.ts")).runStatus(context),
};

const DESTROY: Command = {
  name: "destroy",
  within: WITHIN,
  aliases: [],
  summary: "remove all templates",
  description: "Removes the templates. Pods that run are not touched; the next one makes a new template.",
  flags: [JSON_FLAG],
  examples: [["factory destroy", "to give their memory back"]],
  run: async (context) => (await import("./factory/run-destroy.ts")).runDestroy(context),
};

const SERVE: Command = {
  name: "serve",
  within: WITHIN,
  aliases: [],
  summary: "keep machines ready for pods",
  description: `Keeps vm_cache_number of [factory] machines ready, each a clone that has started a container once, and gives them to shims at
vm_cache_endpoint. Stays in the foreground; deploy/systemd has a unit. Machines that were given away outlive it.`,
  flags: [],
  examples: [["factory serve", "as a service"]],
  run: async (context) => (await import("./factory/run-serve.ts")).runServe(context),
};

const KEEP: Command = {
  name: "keep",
  within: WITHIN,
  aliases: [],
  summary: "make one machine of the pool and stay with it",
  description:
    "What serve starts for each machine. It ends when descriptor 3, a socket, is closed at its other end.",
  flags: [],
  operands: { shown: "NAME", min: 1, max: 1 },
  examples: [["factory keep NAME", "by serve alone"]],
  run: async (context) => (await import("./factory/run-keep.ts")).runKeep(context),
};

const COMMANDS: readonly Command[] = [INIT, STATUS, DESTROY, SERVE, KEEP];

export const FACTORY_COMMAND: Command = {
  name: WITHIN,
  aliases: [],
  summary: "make, show and remove what pods are started from quickly",
  description:
    "Templates that machines are cloned from, and the pool of machines that are ready. docs/performance.md tells what they give.",
  flags: [],
  subcommands: COMMANDS,
  examples: COMMANDS.flatMap(({ examples }) => examples.slice(0, 1)),
  run: async () => EXIT_USAGE,
};
