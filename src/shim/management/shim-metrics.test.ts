import { expect, test } from "vitest";
import { ofGuest } from "./shim-metrics.ts";

test("a guest speaks in its own families only, and without control characters", () => {
  const text = [
    "# HELP kata_guest_load Load.",
    "# TYPE kata_guest_load gauge",
    'kata_guest_load{item="load1"} 1',
    "# TYPE process_open_fds gauge",
    "process_open_fds 7",
    "go_threads 3",
    "kata_shim_threads 99",
    "# EOF",
    'kata_guest_x{item="\x1b[2J"} 1',
    "kata_agent_x 1",
    "",
  ].join("\n");
  expect(ofGuest(text).split("\n")).toEqual([
    "# HELP kata_guest_load Load.",
    "# TYPE kata_guest_load gauge",
    'kata_guest_load{item="load1"} 1',
    "# TYPE kata_agent_process_open_fds gauge",
    "kata_agent_process_open_fds 7",
    "kata_agent_go_threads 3",
    "kata_agent_x 1",
    "",
  ]);
});
