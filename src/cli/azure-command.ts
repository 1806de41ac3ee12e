/** `kata-runtime azure`: how it is called. */
import type { Answer } from "../azure/types.ts";
import { type Command, EXIT_USAGE, type Flag } from "./types.ts";

const JSON_FLAG: Flag = { names: ["--json"], doc: "write the answer as JSON" };
const WITHIN = "azure";
/** Names or files on one command line. */
const MAX_OPERANDS = 4096;

/** Flags that take one of {@link Answer}. */
const answer = (name: string, doc: string): Flag => ({
  names: [name],
  value: "yes|no|unknown" satisfies `${Answer}|${Answer}|${Answer}`,
  doc,
});

const CHECK_SIZE: Command = {
  name: "check-size",
  within: WITHIN,
  aliases: [],
  summary: "tell whether nodes of a size can run containers in virtual machines",
  description: `Keeps apart what Azure documents about a size (nested virtualization, generation 2) and what AKS was seen to answer to it:
AKS refuses sizes that are documented to work. What is not known is said to be unknown.

The answer is yes if both are documented and AKS was not seen to refuse it; no if one of the facts is no.
Exit status: 0 if all sizes can, 1 if one cannot, 3 if none cannot but one is unknown.`,
  flags: [
    JSON_FLAG,
    { names: ["--strict"], doc: "yes only for sizes that AKS was seen to accept" },
    {
      names: ["--workload-runtime"],
      value: "NAME",
      doc: "value that AKS's message quotes (KataMshvVmIsolation)",
    },
  ],
  operands: { shown: "SIZE...", min: 1, max: MAX_OPERANDS },
  examples: [
    ["azure check-size Standard_D4s_v3", "a size that AKS accepts"],
    ["azure check-size Standard_D2ls_v5", "one that it refuses, in its words, and what to take instead"],
    ["azure check-size --json Standard_D8ds_v5 Standard_E4s_v5", "for a program to read"],
  ],
  run: async (context) => (await import("./azure/run-check-size.ts")).runCheckSize(context),
};

const SIZES: Command = {
  name: "sizes",
  within: WITHIN,
  aliases: [],
  summary: "list sizes, by what is known of them",
  description: `Lists the series of the table that comes with the program, or the sizes of a region from the output of az vm list-skus.`,
  flags: [
    JSON_FLAG,
    { names: ["--skus"], value: "FILE", doc: "output of az vm list-skus -o json; - is stdin" },
    answer("--usable", "only those of which this is the answer to check-size"),
    answer("--nested", "only those of which Azure documents this"),
    answer("--generation2", "only those with this about generation 2"),
    answer("--aks", "only those with this about AKS"),
    { names: ["--name"], value: "GLOB", doc: "only names like this: 'Standard_D*s_v5'" },
    { names: ["--location"], value: "NAME", doc: "only of this region (with --skus)" },
    { names: ["--min-cpus"], value: "N", doc: "only with so many CPUs (with --skus)" },
    { names: ["--min-memory"], value: "GB", doc: "only with so much memory (with --skus)" },
    { names: ["--available"], doc: "only what the subscription can have (with --skus)" },
  ],
  examples: [
    ["azure sizes --usable yes", "series that can be used"],
    ["azure sizes --nested yes --aks no", "where AKS and the documentation differ"],
    [
      "azure sizes --skus skus.json --usable yes --min-cpus 8",
      "of a region: az vm list-skus -l westeurope -o json",
    ],
  ],
  run: async (context) => (await import("./azure/run-sizes.ts")).runSizes(context),
};

const PREFLIGHT: Command = {
  name: "preflight",
  within: WITHIN,
  aliases: [],
  summary: "check an AKS cluster by what az and kubectl say of it",
  description: `Reads JSON that other commands wrote, from files or stdin (-), several documents after one another if need be:
az aks show, az aks nodepool show, az aks nodepool list, kubectl get nodes,runtimeclasses,pods.
Checks os-sku, workloadRuntime, size, generation, node image, labels, kernel, RuntimeClasses, and sizes and overhead of pods.
It asks nothing from the network and needs no credentials.
Exit status: 0 if nothing is wrong, else 1.`,
  flags: [
    JSON_FLAG,
    { names: ["--verbose", "-v"], doc: "show also what is in order" },
    { names: ["--strict", "-s"], doc: "count warnings as failures" },
  ],
  operands: { shown: "FILE...", min: 1, max: MAX_OPERANDS },
  examples: [
    [
      "azure preflight aks.json nodes.json",
      "az aks show … >aks.json; kubectl get nodes,runtimeclasses -o json >nodes.json",
    ],
    ["azure preflight --verbose -", "what a pipe brings, and what is in order"],
  ],
  run: async (context) => (await import("./azure/run-preflight.ts")).runPreflight(context),
};

const PLAN: Command = {
  name: "plan",
  within: WITHIN,
  aliases: [],
  summary: "print the az commands of a set-up that works",
  description: `Prints commands for a shell, to be read before they are run: a cluster, or a pool for one that exists, and how to see that
its pods have kernels of their own. A size that does not work is refused; one that is unknown is, unless --force is given.`,
  flags: [
    { names: ["--resource-group", "-g"], value: "NAME", doc: "of the cluster (rg-kata)" },
    { names: ["--name", "-n"], value: "NAME", doc: "the cluster (aks-kata)" },
    { names: ["--location", "-l"], value: "REGION", doc: "of a new cluster (westeurope)" },
    { names: ["--node-vm-size"], value: "SIZE", doc: "of the nodes (Standard_D4s_v3)" },
    { names: ["--node-count"], value: "N", doc: "how many (1)" },
    {
      names: ["--workload-runtime"],
      value: "NAME",
      doc: "KataVmIsolation, KataMshvVmIsolation or KataCcIsolation",
    },
    { names: ["--add-pool"], value: "NAME", doc: "add this pool to the cluster, which exists" },
    { names: ["--force"], doc: "take a size of which nothing is known" },
    JSON_FLAG,
  ],
  examples: [
    ["azure plan", "a cluster of one node"],
    ["azure plan -g rg -n aks --add-pool kata --node-vm-size Standard_D8ds_v5", "a pool for a cluster"],
    ["azure plan | sh -ex", "do it"],
  ],
  run: async (context) => (await import("./azure/run-plan.ts")).runPlan(context),
};

export const AZURE_COMMAND: Command = {
  name: WITHIN,
  aliases: [],
  summary: "sizes of virtual machines on Azure, and clusters of AKS, for containers in virtual machines",
  description:
    "What Azure and AKS need for containers in virtual machines. Nothing is asked from the network, and no credentials are needed.",
  flags: [],
  subcommands: [CHECK_SIZE, SIZES, PREFLIGHT, PLAN],
  examples: [CHECK_SIZE, SIZES, PREFLIGHT, PLAN].flatMap(({ examples }) => examples.slice(0, 1)),
  // Without the name of one of its commands it is the help.
  run: async () => EXIT_USAGE,
};
