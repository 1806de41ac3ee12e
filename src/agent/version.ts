/** What the agent says about itself. */

export const AGENT_VERSION = "0.1.0";
/** The version of the protocol that Health.Version answers with; upstream's has never changed. */
export const PROTOCOL_VERSION = "0.0.1";
