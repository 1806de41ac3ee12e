/**
 * What the guest's agent is told by its kernel's command line, where it is to be other than usual.
 * Source: upstream's agent, kernel command line.
 */
import { type Configuration, defaultConfiguration } from "../config/index.ts";

/** Where a shell in the guest is to be reached by vsock, if there is one; upstream's port. */
const DEBUG_CONSOLE_PORT = 1026;

/** Words of the command line. */
export function agentParameters({ agent, memAgent }: Configuration): string[] {
  return [
    ...(agent.log_level === "info" ? [] : [`agent.log=${agent.log_level}`]),
    ...(agent.debug_console_enabled
      ? ["agent.debug_console", `agent.debug_console_vport=${DEBUG_CONSOLE_PORT}`]
      : []),
    ...dataHubTimeout(agent.cdh_api_timeout, agent.cdh_api_timeout_ms),
    ...(agent.container_pipe_size === 0 ? [] : [`agent.container_pipe_size=${agent.container_pipe_size}`]),
    ...memoryParameters(memAgent),
  ];
}

/** Upstream's two runtimes have a key each; whichever is changed counts. */
function dataHubTimeout(seconds: number, milliseconds: number): string[] {
  const usual = defaultConfiguration("qemu").agent;
  if (seconds !== usual.cdh_api_timeout) return [`agent.cdh_api_timeout=${seconds}`];
  if (milliseconds === usual.cdh_api_timeout_ms) return [];
  return [`agent.cdh_api_timeout=${Math.ceil(milliseconds / 1000)}`];
}

function memoryParameters(memAgent: Configuration["memAgent"]): string[] {
  if (!memAgent.mem_agent_enable) return [];
  const words = {
    compact_disable: memAgent.compact_disable ? 1 : 0,
    compact_period_secs: memAgent.compact_period_secs,
    compact_period_psi_percent_limit: memAgent.compact_period_psi_percent_limit,
    compact_psi_percent_limit: memAgent.compact_psi_percent_limit,
    compact_sec_max: memAgent.compact_sec_max,
    compact_order: memAgent.compact_order,
    compact_threshold: memAgent.compact_threshold,
    compact_force_times: memAgent.compact_force_times,
  };
  const usual = defaultConfiguration("qemu").memAgent as Readonly<Record<string, unknown>>;
  const changed = Object.entries(words).filter(([name, value]) => Number(usual[name]) !== value);
  return ["agent.mem_agent_enable=1", ...changed.map(([name, value]) => `agent.mem_agent_${name}=${value}`)];
}
