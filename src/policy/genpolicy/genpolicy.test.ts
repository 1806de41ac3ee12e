/** The command: inputs and outputs. */
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { INITDATA_ANNOTATION, POLICY_ANNOTATION } from "./container/annotations.ts";
import { decodeInitdata } from "./initdata.ts";
import { CASE_IMAGES } from "./testing/image-layout.ts";
import { genpolicy, RULES, type TestFiles } from "./testing/policy-maker.ts";
import { policyDataOf } from "./testing/runtime-requests.ts";

const POD = `# my pod
apiVersion: v1
kind: Pod
metadata:
  name: web # its name
spec:
  runtimeClassName: kata-cc
  containers:
    - name: web
      image: quay.io/prometheus/busybox:latest
      envFrom: [{ configMapRef: { name: settings }, prefix: S_ }]
`;
const CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\ndata: { COLOR: red }\n";

const given = (files: Record<string, string>, more: TestFiles = {}) => ({
  files,
  images: CASE_IMAGES,
  ...more,
});
const annotationsOf = (text: string) => parse(text).metadata.annotations;

describe("genpolicy", () => {
  test("writes the policy as initdata into the file and keeps the rest of it", async () => {
    const files = { "pod.yaml": POD, "more.yaml": CONFIG_MAP };
    expect(await genpolicy(["-y", "pod.yaml", "--config-file", "more.yaml"], given(files))).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    const annotation: string = annotationsOf(files["pod.yaml"])[INITDATA_ANNOTATION];
    const { version, algorithm, data } = decodeInitdata(annotation);
    expect([version, algorithm, Object.keys(data)]).toEqual(["0.1.0", "sha256", ["policy.rego"]]);
    expect(files["pod.yaml"]).toContain("# my pod\n");
    expect(files["pod.yaml"]).toContain("name: web # its name\n");
    const policy = data["policy.rego"] ?? "";
    expect(policy.startsWith(`${RULES}\npolicy_data := {\n  "containers": [\n`)).toBe(true);
    expect(policyDataOf(policy).containers[1]?.OCI.Process.Env).toContain("S_COLOR=red");
    // Making it again changes nothing.
    const first = files["pod.yaml"];
    await genpolicy(["-y", "pod.yaml", "-c", "more.yaml"], given(files));
    expect(files["pod.yaml"]).toBe(first);
  });

  test("reads standard input and writes standard output", async () => {
    const { stdout } = await genpolicy([], given({}, { input: `${CONFIG_MAP}---\n${POD}` }));
    expect(stdout.split("---\n").map((document) => parse(document).kind)).toEqual(["ConfigMap", "Pod"]);
  });

  test("prints the policy or the annotation alone", async () => {
    const input = `${CONFIG_MAP}---\n${POD}`;
    const raw = (await genpolicy(["--raw-out"], given({}, { input }))).stdout;
    const base64 = (await genpolicy(["-b"], given({}, { input }))).stdout;
    expect(decodeInitdata(base64).data["policy.rego"]).toBe(raw);
  });

  test("adds the policy to given initdata", async () => {
    const initdata = 'version = "0.1.0"\nalgorithm = "sha384"\n[data]\n"aa.toml" = "x = 1"\n';
    const run = given({ "i.toml": initdata }, { input: `${CONFIG_MAP}---\n${POD}` });
    const { stdout } = await genpolicy(["-b", "--initdata-path=i.toml"], run);
    const { algorithm, data } = decodeInitdata(stdout);
    expect([algorithm, Object.keys(data).sort()]).toEqual(["sha384", ["aa.toml", "policy.rego"]]);
  });

  test("katapolicygen has the options of az confcom and writes the older annotation", async () => {
    const files = { "pod.yaml": POD, "a.yaml": CONFIG_MAP };
    const args = ["katapolicygen", "--yaml", "pod.yaml", "--config-map-file", "a.yaml", "--print-policy"];
    const { status, stdout } = await genpolicy(args, given(files));
    expect(status).toBe(0);
    expect(annotationsOf(files["pod.yaml"])).toEqual({ [POLICY_ANNOTATION]: stdout });
    expect(Buffer.from(stdout, "base64").toString().startsWith(RULES)).toBe(true);
    expect((await genpolicy(["katapolicygen", "--print-version"])).stdout).toMatch(
      /^Kata Containers policy tool/,
    );
  });

  test("leaves pods of other runtime classes alone", async () => {
    const files = { "pod.yaml": POD };
    await genpolicy(["-y", "pod.yaml", "--runtime-class-names", "other"], given(files));
    expect(files["pod.yaml"]).toBe(POD);
  });

  test.each([
    ["Deployment", "spec.template", "^web-[a-z0-9]{1,10}-[a-z0-9]{5}$"],
    ["DaemonSet", "spec.template", "^web-[a-z0-9]{5}$"],
    ["ReplicaSet", "spec.template", "^web-[a-z0-9]{5}$"],
    ["ReplicationController", "spec.template", "^web-[a-z0-9]{5}$"],
    ["StatefulSet", "spec.template", "^web-[0-9]+$"],
    ["Job", "spec.template", "^web-[a-z0-9]{5}$"],
    ["CronJob", "spec.jobTemplate.spec.template", "^web-[0-9]+-[a-z0-9]{5}$"],
    ["Pod", "", "^web$"],
  ])("puts the policy into the pods of a %s", async (kind, path, name) => {
    const pod = { metadata: {}, spec: { containers: [{ name: "a", image: "quay.io/prometheus/busybox" }] } };
    const spec = path
      .split(".")
      .filter((part) => part !== "")
      .reduceRight<object>((below, part) => ({ [part]: below }), pod);
    const object = { apiVersion: "v1", kind, ...spec, metadata: { name: "web" } };
    const list = { apiVersion: "v1", kind: "List", items: [object] };
    for (const input of [object, list]) {
      const { stdout, stderr } = await genpolicy([], given({}, { input: JSON.stringify(input) }));
      expect(stderr).toBe("");
      const written = parse(stdout);
      const found = [
        ...(input === list ? ["items", 0] : []),
        ...path.split(".").filter((part) => part !== ""),
      ].reduce((place, part) => place[part], written);
      const policy =
        decodeInitdata(found.metadata.annotations[INITDATA_ANNOTATION]).data["policy.rego"] ?? "";
      const [pause, container] = policyDataOf(policy).containers;
      expect(pause?.OCI.Annotations["io.kubernetes.cri.sandbox-name"]).toBe(name);
      expect(container?.OCI.Annotations["io.kubernetes.cri.sandbox-name"]).toBe(name);
    }
  });

  test("puts init containers first, the last one foremost", async () => {
    const input = `
apiVersion: v1
kind: Pod
metadata: { generateName: run- }
spec:
  initContainers:
  - { name: i1, image: quay.io/prometheus/busybox }
  - { name: i2, image: quay.io/prometheus/busybox }
  containers:
  - { name: c1, image: quay.io/prometheus/busybox }
  - { name: c2, image: quay.io/prometheus/busybox }
`;
    const { containers } = policyDataOf((await genpolicy(["-r"], given({}, { input }))).stdout);
    const names = containers.map(({ OCI }) => OCI.Annotations["io.kubernetes.cri.container-name"]);
    expect(names).toEqual([undefined, "i2", "i1", "c1", "c2"]);
    expect(containers[0]?.OCI.Annotations["io.kubernetes.cri.sandbox-name"]).toBe("^run-[a-z0-9]{5}$");
  });

  test("writes out aliases, so that one pod's policy is not another's", async () => {
    const input = `apiVersion: v1
kind: List
items:
- { apiVersion: v1, kind: Pod, metadata: &m { labels: { a: b } }, spec: &s { containers: [{ name: a, image: quay.io/prometheus/busybox }] } }
- { apiVersion: v1, kind: Pod, metadata: *m, spec: *s }
`;
    const { stdout } = await genpolicy([], given({}, { input }));
    const counts = parse(stdout).items.map((pod: { metadata: { annotations: object } }) =>
      Object.keys(pod.metadata.annotations),
    );
    expect(counts).toEqual([[INITDATA_ANNOTATION], [INITDATA_ANNOTATION]]);
  });

  test.each<[string, string[], string, number, RegExp]>([
    [
      "a field that is not known",
      [],
      POD.replace("runtimeClassName", "runtimeClasName"),
      1,
      /Pod\.spec\.runtimeClasName/,
    ],
    ["a kind that is not known", [], "apiVersion: v1\nkind: Gizmo\n", 1, /Gizmo.*CronJob, DaemonSet/],
    ["no YAML", [], "a: [", 1, /standard input/],
    ["a ConfigMap that is missing", [], POD, 1, /no ConfigMap settings is given/],
    [
      "an image that is missing",
      [],
      POD.replace("quay.io/prometheus/busybox", "nowhere/x").replace(/ *envFrom.*\n/, ""),
      1,
      /find image: nowhere\/x/,
    ],
    ["an option with a typing error", ["--yaml-fil", "x"], "", 2, /did you mean --yaml-file\?/],
    ["an argument too many", ["x"], "", 2, /an option was expected/],
    ["an option without its value", ["-y"], "", 2, /a value follows/],
  ])("fails on %s", async (_what, args, input, status, message) => {
    const outcome = await genpolicy(args, given({}, { input }));
    expect(outcome.status).toBe(status);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stdout).toBe("");
  });

  test("ignores fields that are not known if asked to", async () => {
    const input = `${CONFIG_MAP}---\n${POD}`.replace("spec:", "spec:\n  gizmo: 1");
    expect((await genpolicy(["-rs"], given({}, { input }))).status).toBe(0);
  });

  test("names the operation of a settings patch that does not fit", async () => {
    const settingsPatch = [{ op: "replace", path: "/common/nothing", value: 1 }];
    const { status, stderr } = await genpolicy([], given({}, { input: POD, settingsPatch }));
    expect([status, stderr]).toEqual([
      1,
      "ERROR: read settings: patch: operation 1 (its path is not there, or its test failed)\n",
    ]);
  });

  test("check prints a line for each case and fails if one is not as expected", async () => {
    const cases = [
      { description: "start", kind: "StartContainerRequest", request: {}, allowed: true },
      { description: "swap", kind: "AddSwapRequest", request: {}, allowed: true },
    ];
    const files: Record<string, string> = {
      "pod.yaml": POD.replace(/ *envFrom.*\n/, ""),
      "cases.json": JSON.stringify(cases),
    };
    await genpolicy(["-y", "pod.yaml"], given(files));
    const args = ["check", "--policy", "pod.yaml", "--requests", "cases.json"];
    expect(await genpolicy(args, given(files))).toEqual({
      status: 1,
      stdout:
        "ok: StartContainerRequest allowed: start\n" +
        "MISMATCH: AddSwapRequest denied: swap (AddSwapRequest is blocked by policy: )\n",
      stderr: "1 of 2 cases as expected\n",
    });
    files["cases.json"] = JSON.stringify(cases.slice(0, 1));
    expect((await genpolicy(args, given(files))).status).toBe(0);
    expect((await genpolicy(["check"])).status).toBe(2);
  });
});
