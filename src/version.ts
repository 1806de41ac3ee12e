/** What the host's programs say of themselves. */

/** Put in by the build: the commit that it was made from. */
declare const KATA_COMMIT: string | undefined;

/** Semantic version of the project; the same as in `package.json`. */
export const VERSION = "0.1.0";

/** Commit of the source, 40 hexadecimal digits, with `-dirty` behind them for changed files; `unknown` outside of a checkout. */
export const COMMIT: string =
  typeof KATA_COMMIT === "undefined" || KATA_COMMIT === "" ? "unknown" : KATA_COMMIT;

/** Version of the OCI runtime specification that containers are described in. */
export const OCI_SPECS_VERSION = "1.2.0";
