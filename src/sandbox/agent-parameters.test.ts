import { expect, test } from "vitest";
import { parseConfiguration } from "../config/index.ts";
import { agentParameters } from "./agent-parameters.ts";

/** The parameters of a file with these lines behind `[hypervisor.qemu]`. */
function parametersOf(lines: string): string[] {
  return agentParameters(parseConfiguration(`[hypervisor.qemu]\n${lines}`, "/c.toml", { strict: true }));
}

test.each([
  ["nothing that goes without saying", "[agent.kata]\nlog_level = 'info'\n", []],
  ["its log level", "[agent.kata]\nlog_level = 'trace'\n", ["agent.log=trace"]],
  [
    "a shell",
    "[agent.kata]\ndebug_console_enabled = true\n",
    ["agent.debug_console", "agent.debug_console_vport=1026"],
  ],
  ["a limit in seconds", "[agent.kata]\ncdh_api_timeout = 7\n", ["agent.cdh_api_timeout=7"]],
  ["a limit in milliseconds", "[agent.kata]\ncdh_api_timeout_ms = 1500\n", ["agent.cdh_api_timeout=2"]],
  ["the size of pipes", "[agent.kata]\ncontainer_pipe_size = 65536\n", ["agent.container_pipe_size=65536"]],
  ["nothing of memory unless it is enabled", "[agent.kata.mem_agent]\ncompact_order = 3\n", []],
  [
    "how to compact memory",
    "[agent.kata.mem_agent]\nmem_agent_enable = true\ncompact_order = 3\ncompact_disable = true\n",
    ["agent.mem_agent_enable=1", "agent.mem_agent_compact_disable=1", "agent.mem_agent_compact_order=3"],
  ],
])("the agent is told %s", (_what, lines, parameters) => {
  expect(parametersOf(lines)).toEqual(parameters);
});
