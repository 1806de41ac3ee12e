/** genpolicy under Node. */
import { VERSION } from "../../version.ts";
import settings from "../rules/genpolicy-settings.json" with { type: "json" };
import rules from "../rules/rules.rego";
import { runGenpolicy } from "./genpolicy.ts";
import { nodeHost } from "./node-host.ts";

const host = nodeHost({ rules, settings: JSON.stringify(settings) });
runGenpolicy(process.argv.slice(2), VERSION, host).then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
