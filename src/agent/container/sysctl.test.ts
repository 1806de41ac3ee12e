import { expect, test } from "vitest";
import { planSysctls } from "./sysctl.ts";

const all = { ipc: true, uts: true, user: true };

test("planSysctls() takes dots and slashes as separators, and the other one as part of a name", () => {
  expect(
    planSysctls({ "net.ipv4.conf.eth0/100.forwarding": "1", "net/ipv4/conf/eth0.100/forwarding": "0" }, all),
  ).toEqual([
    ["/proc/sys/net/ipv4/conf/eth0.100/forwarding", "1"],
    ["/proc/sys/net/ipv4/conf/eth0.100/forwarding", "0"],
  ]);
});

test("planSysctls() allows what is in a namespace of the container's own", () => {
  const sysctls = {
    "kernel.shmmax": "1",
    "fs.mqueue.msg_max": "2",
    "kernel.domainname": "d",
    "user.max_ipc_namespaces": "3",
  };
  expect(planSysctls(sysctls, all).map(([path]) => path)).toEqual([
    "/proc/sys/kernel/shmmax",
    "/proc/sys/fs/mqueue/msg_max",
    "/proc/sys/kernel/domainname",
    "/proc/sys/user/max_ipc_namespaces",
  ]);
});

test.each([
  ["kernel.hostname", all],
  ["kernel.panic", all],
  ["vm.swappiness", all],
  ["net.../x", all],
  ["net.ipv4..x", all],
  ["net/../kernel/panic", all],
  ["kernel.shmmax", { ...all, ipc: false }],
  ["fs.mqueue.msg_max", { ...all, ipc: false }],
  ["kernel.domainname", { ...all, uts: false }],
  ["user.max_ipc_namespaces", { ...all, user: false }],
])("planSysctls() refuses %s with namespaces %j", (name, own) => {
  expect(() => planSysctls({ [name]: "1" }, own)).toThrow(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});
