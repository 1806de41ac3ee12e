import { expect, test } from "vitest";
import { parseArguments } from "./arguments.ts";

const none = {
  namespace: "",
  address: "",
  publishBinary: "",
  id: "",
  bundle: "",
  socket: "",
  debug: false,
};

test("parseArguments() reads start as containerd 1.6 writes it", () => {
  const line =
    "-namespace k8s.io -address /run/containerd/containerd.sock -publish-binary /usr/bin/containerd -id abc -debug start";
  expect(parseArguments(line.split(" "))).toEqual({
    ...none,
    action: "start",
    namespace: "k8s.io",
    address: "/run/containerd/containerd.sock",
    publishBinary: "/usr/bin/containerd",
    id: "abc",
    debug: true,
  });
});

test("parseArguments() reads delete with a bundle, two dashes and =", () => {
  expect(parseArguments(["--namespace=ns", "--id", "c1", "-bundle=/b=1", "delete"])).toEqual({
    ...none,
    action: "delete",
    namespace: "ns",
    id: "c1",
    bundle: "/b=1",
  });
});

test("parseArguments() keeps an empty value, as CRI-O passes it for the address", () => {
  const words = ["-namespace", "default", "-address", "", "-id", "x", "start"];
  expect(parseArguments(words)).toEqual({ ...none, action: "start", namespace: "default", id: "x" });
});

test("parseArguments() without an action word serves", () => {
  expect(parseArguments(["-namespace", "n", "-id", "x"]).action).toBe("serve");
});

test.each([
  [["-v"], "version"],
  [["--version"], "version"],
  [["-info"], "info"],
] as const)("parseArguments(%j) needs no id", (words, action) => {
  expect(parseArguments(words)).toEqual({ ...none, action });
});

test.each([
  [["-id", "x", "start"], /-namespace/],
  [["-namespace", "n", "start"], /id begins with a letter/],
  [["-namespace", "n", "-id", "../x", "start"], /id begins with a letter/],
  [["-namespace", "n", "-id", "x".repeat(201), "start"], /at most 200/],
  [["-namespace", "n", "-id", "x", "stop"], /stop \(the action is start or delete\)/],
  [["-namespace", "n", "-id"], /-id \(it needs a value\)/],
  [["-nonsense", "n"], /-nonsense \(no such flag\)/],
  [["-debug=maybe"], /true or false/],
])("parseArguments(%j) is refused", (words, message) => {
  expect(() => parseArguments(words)).toThrow(message);
});
