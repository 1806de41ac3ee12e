import { expect, test } from "vitest";
import { virtiofsdArguments } from "./virtiofsd.ts";

const REQUEST = {
  cache: "never",
  extraArguments: ["--announce-submounts", "--thread-pool-size=1"],
  debug: false,
  share: { paths: { exported: "/run/s" } },
};

test("virtiofsdArguments() speaks to the Rust program", () => {
  expect(virtiofsdArguments("rust", REQUEST)).toEqual([
    "--fd=3",
    "--shared-dir=/run/s",
    "--cache=never",
    "--sandbox=namespace",
    "--log-level=error",
    "--announce-submounts",
    "--thread-pool-size=1",
  ]);
});

test("virtiofsdArguments() says the same to the C program in its words", () => {
  expect(virtiofsdArguments("c", { ...REQUEST, debug: true })).toEqual([
    "--fd=3",
    ...["-o", "source=/run/s"],
    ...["-o", "cache=none"],
    ...["-o", "sandbox=namespace"],
    ...["-o", "log_level=debug"],
    ...["-o", "announce_submounts"],
    "--thread-pool-size=1",
  ]);
});

test("virtiofsdArguments() does not tell the C program to leave out what it leaves out anyway", () => {
  const extraArguments = ["--no-announce-submounts"];
  expect(virtiofsdArguments("c", { ...REQUEST, extraArguments })).not.toContainEqual(
    expect.stringContaining("submounts"),
  );
  expect(virtiofsdArguments("rust", { ...REQUEST, extraArguments })).toContain("--no-announce-submounts");
});
