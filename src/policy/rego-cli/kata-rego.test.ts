import { expect, test } from "vitest";
import { runKataRego } from "./kata-rego.ts";

/** Runs the command on files in memory. */
function run(args: string[], files: Record<string, string> = {}) {
  const written = new Map(Object.entries(files));
  let out = "";
  let err = "";
  const status = runKataRego(args, {
    readFile: (path) => {
      const text = written.get(path);
      if (text === undefined) throw new Error(`ENOENT: ${path}`);
      return text;
    },
    writeFile: (path, text) => written.set(path, text),
    listPolicies: (path) =>
      path === "policies" ? [...written.keys()].filter((name) => name.endsWith(".rego")) : undefined,
    writeOut: (text) => {
      out += text;
    },
    writeError: (text) => {
      err += text;
    },
    milliseconds: () => 0,
    providers: {},
  });
  return { status, out, err, files: written };
}

const POLICY = {
  "a.rego": "package a\nimport rego.v1\np contains x if some x in input.xs\nq := data.k\nr if print(1)",
};

test("eval prints sets and objects with other keys in their encodings", () => {
  const files = { ...POLICY, "in.json": '{"xs": {"set!": [2, 1, 1]}}', "data.yaml": "k: [true]\n" };
  expect(run(["eval", "--input", "in.json", "a.rego", "data.a.p"], files)).toMatchObject({
    status: 0,
    out: '{"defined":true,"value":{"set!":[1,2]}}\n',
    err: "",
  });
  expect(run(["eval", "--data=data.yaml", "a.rego", "data.a.q"], files).out).toBe(
    '{"defined":true,"value":[true]}\n',
  );
  expect(run(["eval", "{1: 2}"]).out).toBe('{"defined":true,"value":{"object!":[{"key":1,"value":2}]}}\n');
});

test("eval tells undefined from false", () => {
  expect(run(["eval", "a.rego", "data.a.q"], POLICY)).toMatchObject({
    status: 0,
    out: '{"defined":false}\n',
  });
  expect(run(["eval", "1 == 2"])).toMatchObject({ status: 0, out: '{"defined":true,"value":false}\n' });
});

test("eval exits 2 with the place of the fault on standard error", () => {
  const broken = run(["eval", "b.rego", "data.b"], { "b.rego": "package b\np := q" });
  expect(broken).toMatchObject({ status: 2, out: "" });
  expect(broken.err).toContain("b.rego:2:6");
  expect(run(["eval", "missing.rego", "data"]).err).toBe("error: ENOENT: missing.rego\n");
  expect(run(["eval", "1 / 0"])).toMatchObject({ status: 2 });
  expect(run(["eval", "--no-strict-builtin-errors", "1 / 0"])).toMatchObject({
    status: 0,
    out: '{"defined":false}\n',
  });
});

test("eval takes a module as v0 with a warning where only that parses, unless told v1", () => {
  const files = { "o.rego": "package o\np { true }" };
  const lenient = run(["eval", "o.rego", "data.o.p"], files);
  expect(lenient).toMatchObject({ status: 0, out: '{"defined":true,"value":true}\n' });
  expect(lenient.err).toContain("read as Rego v0 instead");
  expect(run(["eval", "--v1", "o.rego", "data.o.p"], files).status).toBe(2);
  expect(run(["eval", "--v0", "o.rego", "data.o.p"], files)).toMatchObject({ status: 0, err: "" });
  expect(run(["check", "o.rego"], files).status).toBe(2);
});

test("test runs every test rule of a directory and names those that fail", () => {
  const files = {
    "t.rego": "package t\ntest_a if 1 == 1\ntest_b if 1 == 2\ntodo_test_c if 1 == 2\ntest_d if 1 / 0 == 1",
  };
  const result = run(["test", "policies"], files);
  expect(result.status).toBe(2);
  expect(result.out).toContain("data.t.test_b: FAIL");
  expect(result.out).toContain("data.t.test_d: ERROR");
  expect(result.out).not.toContain("data.t.test_a:");
  expect(result.out).toContain("PASS: 1/4\nFAIL: 1/4\nERROR: 1/4\nSKIPPED: 1/4\n");
});

test("fmt prints, or writes and names, what it changes", () => {
  const files = { "a.rego": "package a\np:=1 if {input.x;  true}\n" };
  const formatted = "package a\n\np := 1 if {\n\tinput.x\n\ttrue\n}\n";
  expect(run(["fmt", "a.rego"], files).out).toBe(formatted);
  expect(run(["fmt", "--diff", "a.rego"], files)).toMatchObject({ status: 1, out: "a.rego\n" });
  const written = run(["fmt", "--write", "a.rego"], files);
  expect(written.files.get("a.rego")).toBe(formatted);
  expect(run(["fmt", "--diff", "a.rego"], { "a.rego": formatted })).toMatchObject({ status: 0, out: "" });
});

test("bench prints one JSON object", () => {
  const { out } = run(["bench", "--count", "3", "a.rego", "data.a.p"], POLICY);
  expect(JSON.parse(out)).toEqual({ compile: 0, count: 3, fastest: 0, median: 0, p95: 0 });
});

test("wrong arguments exit 2 and say what is known", () => {
  expect(run([]).status).toBe(2);
  expect(run(["evil"]).err).toContain("verbs: eval, check, test, fmt, bench");
  expect(run(["eval", "--nope", "1"]).err).toContain("known options");
  expect(run(["eval", "--max-steps", "0", "1"]).status).toBe(2);
  expect(run(["eval", "--help"])).toMatchObject({ status: 0, err: "" });
});
