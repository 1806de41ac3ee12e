/** `kata-runtime version`. */
import { COMMIT, OCI_SPECS_VERSION, VERSION } from "../version.ts";
import { type Command, EXIT_OK } from "./types.ts";

/** In the shape that upstream's has. */
export function versionText(program: string): string {
  return `${program}  : ${VERSION}\n   commit   : ${COMMIT}\n   OCI specs: ${OCI_SPECS_VERSION}\n`;
}

/** As runc's `--version`, which engines ask an OCI runtime for and take apart. */
export function runtimeVersionText(program: string): string {
  return `${program} version ${VERSION}\ncommit: ${COMMIT}\nspec: ${OCI_SPECS_VERSION}\n`;
}

export const VERSION_COMMAND: Command = {
  name: "version",
  aliases: [],
  summary: "show the version of the runtime and of the specification that it follows",
  description:
    "Shows the runtime's version, the commit that it was built from and the OCI version that it follows.",
  flags: [{ names: ["--json"], doc: "write the answer as JSON" }],
  examples: [["version", "what is installed here"]],
  run: async ({ program, flags, output }) => {
    const answer = { version: VERSION, commit: COMMIT, ociSpecs: OCI_SPECS_VERSION };
    output.data(flags.has("json") ? `${JSON.stringify(answer, null, 2)}\n` : versionText(program));
    return EXIT_OK;
  },
};
