/** What the agent says about itself. */

export { VERSION as AGENT_VERSION } from "../version.ts";
/** The version of the protocol that Health.Version answers with; upstream's has never changed. */
export const PROTOCOL_VERSION = "0.0.1";
