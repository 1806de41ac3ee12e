import { describe, expect, test } from "vitest";
import { requestedModule } from "./modprobe.ts";

describe("requestedModule()", () => {
  test.each<[args: string[], module: string | undefined]>([
    [["-q", "--", "bridge"], "bridge"],
    [["-q", "--", "net-pf-16-proto-12"], "net-pf-16-proto-12"],
    // A name is a name, whatever it looks like.
    [["-q", "--", "--server-addr=unix:///x"], "--server-addr=unix:///x"],
    [["-q", "--"], undefined],
    [["-q", "bridge"], undefined],
    [["-q", "--", "a", "b"], undefined],
    [["--server-addr", "--", "x"], undefined],
    [[], undefined],
  ])("of %j is %j", (args, module) => expect(requestedModule(args)).toBe(module));
});
