/** `kata-runtime azure` as a user runs it. */
import { readTextFile, removeTree, writeFile } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { FIXTURES, runKataRuntime } from "./testing/run-kata-runtime.ts";

const AZURE = `${FIXTURES}/azure`;
const REFUSAL = `(InvalidWorkloadRuntimeSettingError) Kata: "KataMshvVmIsolation" has to be used with vm size that supports nested virtualization. See https://aka.ms/aks/podsandbox for details.
Code: InvalidWorkloadRuntimeSettingError
Message: Kata: "KataMshvVmIsolation" has to be used with vm size that supports nested virtualization. See https://aka.ms/aks/podsandbox for details.
`;

test("check-size accepts the size that AKS accepted", async () => {
  assertEqual(await runKataRuntime(["azure", "check-size", "Standard_D4s_v3"]), {
    status: 0,
    stdout: `Standard_D4s_v3: yes, AKS accepted it
  Azure documents nested virtualization:  yes      (AKS cluster of April 2025 (cluster created with it); example size of the AKS pod sandboxing guide)
  generation 2:                           yes      (the same source)
  AKS accepts it:                         yes      (AKS cluster of April 2025)
`,
    stderr: "",
  });
});

test("check-size refuses the size that AKS refused, in AKS's words, and names others", async () => {
  const { status, stdout, stderr } = await runKataRuntime(["azure", "check-size", "Standard_D2ls_v5"]);
  assertEqual({ status, stderr }, { status: 1, stderr: "" });
  assert(stdout.includes(`\n${REFUSAL}`), stdout);
  assert(
    /^ {2}Azure documents nested virtualization: +yes +\(.*dlsv5-series\.md \(Supported\)/m.test(stdout),
    stdout,
  );
  assert(/^ {2}AKS accepts it: +no +\(AKS cluster of April 2025\)$/m.test(stdout), stdout);
  assert(
    /^Nearest sizes that work: Standard_D4s_v3 \(AKS accepts it\), Standard_D2s_v5 /m.test(stdout),
    stdout,
  );
});

test("check-size quotes the workload runtime as it was given", async () => {
  const { stdout } = await runKataRuntime([
    "azure",
    "check-size",
    "Standard_D2ls_v5",
    "--json",
    "--workload-runtime",
    "KataVmIsolation",
  ]);
  assertEqual(
    JSON.parse(stdout).sizes[0].aksError.text,
    REFUSAL.trimEnd().replaceAll("KataMshvVmIsolation", "KataVmIsolation"),
  );
});

const STATUSES: readonly (readonly [status: number, ...args: readonly string[]])[] = [
  [0, "Standard_D4s_v3", "Standard_E8ds_v5"],
  [1, "Standard_D4s_v3", "Standard_A2_v2"],
  [1, "Standard_X9", "Standard_A2_v2"],
  [1, "Standard_D4_v3"],
  [3, "Standard_X9"],
  [3, "Standard_D4s_v3", "Standard_HX176rs"],
  [3, "Standard_D4ls_v5"],
  [3, "--strict", "Standard_D4s_v5"],
  [0, "--strict", "Standard_D4s_v3"],
  [125],
  [125, "--jsn", "Standard_D4s_v3"],
];
for (const [status, ...args] of STATUSES) {
  test(`check-size ${args.join(" ")} ends with ${status}`, async () => {
    assertEqual((await runKataRuntime(["azure", "check-size", ...args])).status, status);
  });
}

test("check-size proposes the whole name for a part of it", async () => {
  const { status, stdout } = await runKataRuntime(["azure", "check-size", "D4s-v5"]);
  assertEqual(status, 3);
  assert(stdout.endsWith("Did you mean Standard_D4s_v5?\n"), stdout);
});

test("check-size answers for a size of each row of the CSV, one after the other and all at once", async () => {
  const rows = readTextFile(`${AZURE}/size-examples.csv`)
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(","));
  const { status, stdout } = await runKataRuntime([
    "azure",
    "check-size",
    "--json",
    ...rows.map(([size = ""]) => size),
  ]);
  assertEqual(status, 1);
  const { sizes } = JSON.parse(stdout) as {
    sizes: {
      size: string;
      verdict: string;
      nestedVirtualization: { answer: string };
      generation2: { answer: string };
      aksAccepts: { answer: string };
    }[];
  };
  assertEqual(
    sizes.map((each) => [
      each.size,
      each.verdict,
      each.nestedVirtualization.answer,
      each.generation2.answer,
      each.aksAccepts.answer,
    ]),
    rows,
  );
  const statuses: Record<string, number> = { yes: 0, no: 1, unknown: 3 };
  for (const [size = "", verdict = ""] of rows) {
    assertEqual(
      [size, (await runKataRuntime(["azure", "check-size", size])).status],
      [size, statuses[verdict]],
    );
  }
});

test("sizes lists the whole table as the CSV has it", async () => {
  const { stdout } = await runKataRuntime(["azure", "sizes", "--json"]);
  const { families } = JSON.parse(stdout) as {
    families: {
      family: string;
      size: string;
      generation2: { answer: string };
      nestedVirtualization: { answer: string };
      aksAccepts: { answer: string };
    }[];
  };
  const rows = readTextFile(`${AZURE}/nested-virtualization.csv`).trim().split("\n").slice(1);
  assertEqual(
    families.map((each) => [
      each.family,
      each.size,
      each.generation2.answer,
      each.nestedVirtualization.answer,
      each.aksAccepts.answer,
    ]),
    rows.map((row) => row.split(",").slice(0, 5)),
  );
});

test("sizes filters, also what az vm list-skus tells, from stdin", async () => {
  const { stdout } = await runKataRuntime(["azure", "sizes", "--nested", "yes", "--aks", "no"]);
  assertEqual(
    stdout.split("\n").map((line) => line.split(" ")[0]),
    ["SERIES", "Standard_D2ls_v5", ""],
  );
  const args = [
    "azure",
    "sizes",
    "--skus",
    "-",
    "--usable",
    "yes",
    "--min-cpus",
    "4",
    "--location",
    "WestEurope",
    "--available",
  ];
  const skus = await runKataRuntime(args, { stdin: `${AZURE}/skus.json` });
  assertEqual({ status: skus.status, stderr: skus.stderr }, { status: 0, stderr: "" });
  assertEqual(
    skus.stdout,
    `SIZE              USABLE   NESTED   GEN2   AKS       CPUS   GB   RESTRICTIONS
Standard_D4s_v3   yes      yes      yes    yes       4      16   -
Standard_D8s_v5   yes      yes      yes    unknown   8      32   NotAvailableForSubscription in zones 2
`,
  );
});

test("sizes refuses a question that the table cannot answer, and a word that is no answer", async () => {
  const { status, stderr } = await runKataRuntime(["azure", "sizes", "--min-cpus", "4"]);
  assertEqual(status, 125);
  assert(stderr.includes("only with --skus"), stderr);
  const wrong = await runKataRuntime(["azure", "sizes", "--nested", "yse"]);
  assertEqual(wrong.status, 125);
  assert(wrong.stderr.includes("did you mean yes?"), wrong.stderr);
});

test("preflight passes the cluster of April 2025, read from files and from a pipe", async () => {
  const files = await runKataRuntime([
    "azure",
    "preflight",
    "--json",
    `${AZURE}/aks-show.json`,
    `${AZURE}/nodes-runtimeclasses.json`,
  ]);
  assertEqual({ status: files.status, stderr: files.stderr }, { status: 0, stderr: "" });
  const pipe = `/tmp/kata-preflight-test-${getpid()}`;
  try {
    writeFile(
      pipe,
      readTextFile(`${AZURE}/aks-show.json`) + readTextFile(`${AZURE}/nodes-runtimeclasses.json`),
    );
    assertEqual(await runKataRuntime(["azure", "preflight", "--json", "-"], { stdin: pipe }), files);
  } finally {
    removeTree(pipe);
  }
});

test("preflight ends with 1 and what to do for a pool of a size that AKS refuses", async () => {
  const file = `/tmp/kata-preflight-test-${getpid()}`;
  try {
    writeFile(file, readTextFile(`${AZURE}/aks-show.json`).replace("Standard_D4s_v3", "Standard_D2ls_v5"));
    const { status, stdout, stderr } = await runKataRuntime(["azure", "preflight", file]);
    assertEqual(
      { status, stderr },
      { status: 1, stderr: "ERROR: The cluster cannot run containers in virtual machines as it is\n" },
    );
    assert(/^pool nodepool1\n {2}FAILED +size +Standard_D2ls_v5: AKS refuses it/.test(stdout), stdout);
    assert(/\n +→ --node-vm-size Standard_D4s_v3\|/.test(stdout), stdout);
  } finally {
    removeTree(file);
  }
});

test("preflight tells what it cannot read", async () => {
  const missing = await runKataRuntime(["azure", "preflight", "/nonexistent.json"]);
  assertEqual(missing, { status: 1, stdout: "", stderr: "kata-runtime: open: /nonexistent.json: ENOENT\n" });
  const { status, stderr } = await runKataRuntime([
    "azure",
    "preflight",
    `${AZURE}/nested-virtualization.csv`,
  ]);
  assertEqual(status, 125);
  assert(stderr.includes("nested-virtualization.csv:1"), stderr);
});

test("plan prints what a shell takes, and refuses a size that does not work", async () => {
  const { status, stdout } = await runKataRuntime(["azure", "plan", "-g", "rgkata", "-n", "aks"]);
  assertEqual(status, 0);
  assert(
    stdout.includes(
      "\naz aks create --resource-group rgkata --name aks --os-sku AzureLinux --workload-runtime KataVmIsolation --node-vm-size Standard_D4s_v3 --node-count 1\n",
    ),
    stdout,
  );
  const refused = await runKataRuntime(["azure", "plan", "--node-vm-size", "Standard_D2ls_v5"]);
  assertEqual([refused.status, refused.stdout], [1, ""]);
  assert(refused.stderr.includes('Kata: "KataVmIsolation" has to be used'), refused.stderr);
  assertEqual((await runKataRuntime(["azure", "plan", "--node-vm-size", "Standard_X9"])).status, 3);
  assertEqual(
    (await runKataRuntime(["azure", "plan", "--force", "--node-vm-size", "Standard_X9"])).status,
    0,
  );
});

/** Files that the documentation names, and what stands for them here. */
const FILES: Readonly<Record<string, string>> = {
  "skus.json": `${AZURE}/skus.json`,
  "aks.json": `${AZURE}/aks-show.json`,
  "nodes.json": `${AZURE}/nodes-runtimeclasses.json`,
  node: `${FIXTURES}/hosts/aks-mshv`,
};

test("every command of docs/azure.md that is ours does what it says", async () => {
  const lines = readTextFile(`${FIXTURES}/../../docs/azure.md`).split("\n");
  const commands = lines
    .filter((line) => line.startsWith("kata-runtime "))
    .map((line) => line.split(" ").slice(1));
  assertEqual(commands.length, 11);
  for (const words of commands) {
    const { status, stderr } = await runKataRuntime(words.map((word) => FILES[word] ?? word));
    const refused = words.includes("Standard_D2ls_v5");
    assertEqual([words, status, stderr], [words, refused ? 1 : 0, ""]);
  }
});

runTests();
