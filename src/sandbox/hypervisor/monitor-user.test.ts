import { expect, test } from "vitest";
import { isMonitorDirectory, withDeviceGroup } from "./monitor-user.ts";

const USER = { uid: 2_147_000_000, gid: 2_147_000_000, groups: [7], directory: "/run/user/2147000000" };

/** A device file with this mode and group; only what is looked at. */
const device = (mode: number, gid: number) => () =>
  ({ mode, gid }) as ReturnType<typeof import("../../sys/files.ts").statIfExists>;

test("a monitor's user is in the group of the accelerator's device, where it needs to be", () => {
  expect(withDeviceGroup(USER, "kvm", device(0o20_660, 108)).groups).toEqual([7, 108]);
  expect(withDeviceGroup(USER, "kvm", device(0o20_666, 108))).toBe(USER);
  expect(withDeviceGroup(USER, "tcg", device(0o20_600, 0))).toBe(USER);
});

test.each([
  [0o20_600, 108],
  [0o20_660, 0],
])("a device of mode %o and group %i is refused with the command that helps", (mode, gid) => {
  expect(() => withDeviceGroup(USER, "kvm", device(mode, gid))).toThrow(
    expect.objectContaining({
      code: "failed-precondition",
      hint: expect.stringContaining("chgrp kvm /dev/kvm"),
    }),
  );
});

test.each([
  ["/run/user/2147000000", true],
  ["/run/user/1000/kata-0123abc", true],
  ["/run/user/0", false],
  ["/run/user/1000/kata-a/../../..", false],
  ["/run/user/1000/other", false],
  ["/run/user/1000/../../etc", false],
  ["/etc", false],
  [undefined, false],
])("isMonitorDirectory() of %s is %s", (path, is) => {
  expect(isMonitorDirectory(path)).toBe(is);
});
