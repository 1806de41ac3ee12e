/** `genpolicy`: Kubernetes objects in, the same with policies out. */
import { KataError } from "../../kata-error.ts";
import type { GenerateArguments } from "./arguments.ts";
import type { CommandHost } from "./command-host.ts";
import { INITDATA_ANNOTATION, POLICY_ANNOTATION } from "./container/annotations.ts";
import { containerPolicy, pausePolicy } from "./container/container-policy.ts";
import type { Sources } from "./container/environment.ts";
import type { Images } from "./image/images.ts";
import { EMPTY_INITDATA, encodeInitdata, type Initdata, POLICY_KEY, parseInitdata } from "./initdata.ts";
import { type Pod, readPod } from "./kubernetes/pod.ts";
import { type Manifests, readManifests, type Workload } from "./kubernetes/resources.ts";
import { type PolicyData, policyText } from "./policy-data.ts";
import { readSettings, type Settings } from "./settings.ts";

/** Puts policies on all workloads of the input and prints what is asked for. */
export async function generateCommand(args: GenerateArguments, host: CommandHost): Promise<void> {
  const settings = readSettings(await host.readSettings(args.settingsPath));
  const rules = await host.readRules(args.rulesPath);
  const initdata = await baseInitdata(args.initdataPath, host);
  const input = args.yamlFile === undefined ? await host.readInput() : await host.readFile(args.yamlFile);
  const manifests = readManifests(args.yamlFile ?? "standard input", input, args.lenient);
  const sources = await readSources(manifests, args, host);
  const { images, close } = await host.openImages(args, settings);
  try {
    for (const workload of manifests.workloads) {
      const pod = readPod(workload);
      if (!isWanted(pod, args.runtimeClasses)) continue;
      const policy = policyText(rules, await policyData(pod, workload, settings, sources, images));
      await deliver(workload, policy, initdata, args, host);
    }
  } finally {
    await close();
  }
  if (args.yamlFile !== undefined) await host.writeFile(args.yamlFile, manifests.text());
  else if (!args.rawOut && !args.base64Out) await host.writeOut(manifests.text());
}

/** The policy's data for the pods of a workload: pause container, init containers last one first, containers. */
export async function policyData(
  pod: Pod,
  workload: Workload,
  settings: Settings,
  sources: Sources,
  images: Images,
): Promise<PolicyData> {
  if (pod.containers.length === 0) {
    throw new KataError("invalid-document", {
      operation: "make policy",
      object: `${workload.kind} ${workload.root.at("metadata", "name").text() ?? ""}`,
      hint: "its pod has no containers",
    });
  }
  const containers = [pausePolicy(pod, await images.load(settings.pauseImage, true), settings)];
  for (const container of [...pod.initContainers.toReversed(), ...pod.containers]) {
    const image = await images.load(container.image, false);
    containers.push(containerPolicy(pod, container, image, settings, sources));
  }
  return { containers, ...settings.policyParts };
}

async function deliver(
  workload: Workload,
  policy: string,
  base: Initdata,
  args: GenerateArguments,
  host: CommandHost,
): Promise<void> {
  const isInitdata = args.annotation === "initdata";
  const encoded = isInitdata
    ? encodeInitdata({ ...base, data: { ...base.data, [POLICY_KEY]: policy } })
    : Buffer.from(policy).toString("base64");
  workload.annotate(isInitdata ? INITDATA_ANNOTATION : POLICY_ANNOTATION, encoded);
  if (args.rawOut) await host.writeOut(policy);
  if (args.base64Out) await host.writeOut(encoded);
}

async function baseInitdata(path: string | undefined, host: CommandHost): Promise<Initdata> {
  return path === undefined ? EMPTY_INITDATA : parseInitdata(await host.readFile(path), path);
}

/** ConfigMaps and Secrets of the input and of further files; later ones win. */
async function readSources(
  manifests: Manifests,
  args: GenerateArguments,
  host: CommandHost,
): Promise<Sources> {
  const configMaps = [...manifests.configMaps];
  const secrets = [...manifests.secrets];
  for (const path of args.configFiles) {
    const more = readManifests(path, await host.readFile(path), args.lenient);
    configMaps.push(...more.configMaps);
    secrets.push(...more.secrets);
  }
  return { configMaps, secrets };
}

function isWanted(pod: Pod, runtimeClasses: readonly string[]): boolean {
  return runtimeClasses.length === 0 || runtimeClasses.some((prefix) => pod.runtimeClass.startsWith(prefix));
}
