import { expect, test } from "vitest";
import { hostHooks } from "./create-task.ts";

test("hostHooks() names the points that the guest cannot serve, and no other", () => {
  const hook = { path: "/bin/true" };
  const hooks = { prestart: [hook], createRuntime: [], startContainer: [hook], poststop: [hook, hook] };
  expect(hostHooks({ ociVersion: "1.1.0", hooks })).toEqual(["prestart", "poststop"]);
  expect(hostHooks({ ociVersion: "1.1.0" })).toEqual([]);
});
